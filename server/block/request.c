#include "server/block/request.h"

#include <assert.h>

void request_push(struct request *req, struct layer *owner, request_done_fn *done)
{
    assert(req->depth < REQUEST_DEPTH_MAX);
    req->frames[req->depth++] = (struct frame){ .done = done, .owner = owner, .saved = req->view };
}

void request_complete(struct request *req, int error)
{
    assert(error >= 0);     /* a backend has made an errno of what a plugin or a server gave */
    assert(req->depth > 0); /* completing twice dies here */
    if (req->error == 0)
        req->error = error;
    struct frame *frame = &req->frames[--req->depth];
    req->view = frame->saved;
    frame->done(frame->owner, req);
}

bool extent_list_add(struct extent_list *list, uint64_t length_bytes, uint64_t flags)
{
    if (length_bytes == 0)
        return true;
    if (list->count > 0 && list->extents[list->count - 1].flags == flags) {
        list->extents[list->count - 1].length_bytes += length_bytes;
        return true;
    }
    if (list->count == list->capacity) {
        list->more = true;
        return false;
    }
    list->extents[list->count++] = (struct extent){ .length_bytes = length_bytes, .flags = flags };
    return true;
}
