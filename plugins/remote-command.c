#include "plugins/remote-command.h"

#include <assert.h>
#include <errno.h>
#include <libnbd.h>
#include <string.h>

/* What came is worth nothing: as if the connection had been lost before the reply. */
static void distrust(struct remote_slot *slot, const char *reason)
{
    slot->error = ENOTCONN;
    remote_link_distrusts(slot->link, reason);
}

/* 1: the library forgets the command. */
static int command_done(void *context, int *error)
{
    struct remote_slot *slot = context;

    if (slot->error == 0)
        slot->error = *error;
    remote_link_finished(slot);
    return 1;
}

static int take_chunk(void *context, const void *data, size_t length_bytes, uint64_t offset_bytes,
                      unsigned status, int *error)
{
    struct remote_slot *slot = context;
    const struct request *req = slot->req;

    (void)data; /* it is in its place */
    (void)error;
    if (status == LIBNBD_READ_ERROR || slot->error != 0)
        return 0;
    const char *reason = remote_coverage_add(
        &slot->coverage, (uint32_t)(offset_bytes - req->view.offset_bytes) - req->progress_bytes,
        (uint32_t)length_bytes);
    if (reason != NULL)
        distrust(slot, reason);
    return 0;
}

/* The library does not look whether all of the data came when it forgets the command at once. */
static int read_done(void *context, int *error)
{
    struct remote_slot *slot = context;

    if (*error == 0 && slot->error == 0 &&
        !remote_coverage_is_whole(&slot->coverage, slot->piece_bytes))
        distrust(slot, "its reply to a READ lacks some of the data");
    return command_done(context, error);
}

/* Whatever the server says, the list stays inside the range that was asked for. */
static int take_extents(void *context, const char *name, uint64_t offset_bytes, uint32_t *entries,
                        size_t entry_count, int *error)
{
    struct remote_slot *slot = context;
    const struct view *view = &slot->req->view;
    struct extent_list *list = (struct extent_list *)(void *)view->data;
    uint32_t left_bytes = view->length_bytes;

    (void)error;
    if (strcmp(name, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0 || offset_bytes != view->offset_bytes)
        return 0;
    list->count = 0;
    for (size_t i = 0; i + 1 < entry_count && left_bytes > 0; i += 2) {
        uint32_t length_bytes = entries[i] < left_bytes ? entries[i] : left_bytes;

        if (length_bytes == 0) {
            distrust(slot, "an extent of its reply to a BLOCK_STATUS is empty");
            return 0;
        }
        if (!extent_list_add(list, length_bytes, entries[i + 1] & (EXTENT_HOLE | EXTENT_ZERO)))
            break;
        left_bytes -= length_bytes;
    }
    return 0;
}

/* A server that answered without an extent has told nothing: all of it may be data. */
static int extents_done(void *context, int *error)
{
    struct remote_slot *slot = context;
    const struct view *view = &slot->req->view;
    struct extent_list *list = (struct extent_list *)(void *)view->data;

    if (*error == 0 && list->count == 0)
        extent_list_add(list, view->length_bytes, 0);
    return command_done(context, error);
}

static uint32_t zero_flags(const struct request *req, uint32_t fua)
{
    return fua | (req->flags & REQUEST_MAY_TRIM ? 0 : LIBNBD_CMD_FLAG_NO_HOLE) |
           (req->flags & REQUEST_FAST_ZERO ? LIBNBD_CMD_FLAG_FAST_ZERO : 0);
}

/* The library takes and gives the data in the request's own buffer. */
static int64_t transfer(struct nbd_handle *nbd, const struct remote_features *features,
                        struct remote_slot *slot, nbd_completion_callback done, uint32_t fua)
{
    const struct view *view = &slot->req->view;
    uint32_t at = slot->req->progress_bytes;
    uint32_t left_bytes = view->length_bytes - at;

    slot->piece_bytes =
        left_bytes < features->payload_max_bytes ? left_bytes : features->payload_max_bytes;
    if (view->op == REQUEST_READ) {
        slot->coverage.count = 0;
        done.callback = read_done;
        return nbd_aio_pread_structured(
            nbd, view->data + at, slot->piece_bytes, view->offset_bytes + at,
            (nbd_chunk_callback){ .callback = take_chunk, .user_data = slot }, done, 0);
    }
    return nbd_aio_pwrite(nbd, view->data + at, slot->piece_bytes, view->offset_bytes + at, done,
                          fua);
}

static int64_t ask_extents(struct nbd_handle *nbd, struct remote_slot *slot)
{
    const struct view *view = &slot->req->view;

    ((struct extent_list *)(void *)view->data)->count = 0; /* may have been asked before */
    return nbd_aio_block_status(
        nbd, view->length_bytes, view->offset_bytes,
        (nbd_extent_callback){ .callback = take_extents, .user_data = slot },
        (nbd_completion_callback){ .callback = extents_done, .user_data = slot },
        slot->req->flags & REQUEST_ONE ? LIBNBD_CMD_FLAG_REQ_ONE : 0);
}

int remote_command_send(struct nbd_handle *nbd, const struct remote_features *features,
                        struct remote_slot *slot)
{
    const struct request *req = slot->req;
    const struct view *view = &req->view;
    nbd_completion_callback done = { .callback = command_done, .user_data = slot };
    uint32_t fua = req->flags & REQUEST_FUA && features->fua ? LIBNBD_CMD_FLAG_FUA : 0;
    int64_t cookie = -1;

    slot->error = 0;
    switch (view->op) {
    case REQUEST_READ:
    case REQUEST_WRITE:
        cookie = transfer(nbd, features, slot, done, fua);
        break;
    case REQUEST_FLUSH:
        cookie = nbd_aio_flush(nbd, done, 0);
        break;
    case REQUEST_TRIM:
        cookie = nbd_aio_trim(nbd, view->length_bytes, view->offset_bytes, done, fua);
        break;
    case REQUEST_ZERO:
        if (req->flags & REQUEST_FAST_ZERO && !features->fast_zero)
            return ENOTSUP;
        cookie =
            nbd_aio_zero(nbd, view->length_bytes, view->offset_bytes, done, zero_flags(req, fua));
        break;
    case REQUEST_CACHE:
        cookie = nbd_aio_cache(nbd, view->length_bytes, view->offset_bytes, done, 0);
        break;
    case REQUEST_EXTENTS:
        cookie = ask_extents(nbd, slot);
        break;
    case REQUEST_OP_COUNT:
        assert(false && "not an operation");
    }
    if (cookie >= 0)
        return 0;
    return nbd_get_errno() > 0 ? nbd_get_errno() : EIO;
}
