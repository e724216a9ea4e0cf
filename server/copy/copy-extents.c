#include "server/copy/copy-extents.h"

#include <errno.h>
#include <stdlib.h>

#include "server/base/log.h"

/* So many come with one request. */
#define EXTENTS_AT_ONCE 1024u

struct copy_extents {
    struct loop *loop;
    struct layer *layer;
    struct request request;
    bool finished;
    bool known;
    unsigned context;
    uint64_t at_bytes, size_bytes; /* what the list is asked for next */
    uint32_t index;                /* in the list: the next one */
    struct extent_list *list;
};

int copy_extents_create(struct copy_extents **out, struct stage *top, uint64_t start_bytes,
                        struct error *err)
{
    struct loop_config config = { .entries = 8 };
    struct copy_extents *extents = calloc(1, sizeof *extents);
    struct extent_list *list = calloc(1, sizeof *list + EXTENTS_AT_ONCE * sizeof list->extents[0]);

    if (extents == NULL || list == NULL) {
        free(extents);
        free(list);
        return error_no_memory(err, "to look at the extents of an image");
    }
    list->capacity = EXTENTS_AT_ONCE;
    extents->list = list;
    extents->at_bytes = start_bytes;
    extents->size_bytes = limits_size_bytes(&top->limits);
    extents->known = (top->limits.ops & OP_BIT(REQUEST_EXTENTS)) != 0;
    int result = loop_create(&extents->loop, &config, err);
    if (result == 0)
        result = stage_attach(&extents->layer, top, extents->loop, err);
    if (result < 0) {
        copy_extents_destroy(extents);
        return result;
    }
    *out = extents;
    return 0;
}

void copy_extents_use_context(struct copy_extents *extents, unsigned context)
{
    extents->context = context;
}

void copy_extents_destroy(struct copy_extents *extents)
{
    if (extents == NULL)
        return;
    layer_detach(extents->layer);
    loop_destroy(extents->loop);
    free(extents->list);
    free(extents);
}

bool copy_extents_are_known(const struct copy_extents *extents)
{
    return extents->known;
}

static void request_finished(struct layer *owner, struct request *req)
{
    struct copy_extents *extents = container_of(req, struct copy_extents, request);

    (void)owner;
    extents->finished = true;
    loop_stop(extents->loop);
}

/* Storage that can't tell, after all, has data everywhere: what is wrong with it is found when
 * that is read. */
static void ask(struct copy_extents *extents)
{
    struct request *req = &extents->request;

    *req = (struct request){
        .context = extents->context,
        .flags = REQUEST_WIDE,
        .view = { .op = REQUEST_EXTENTS,
                  .offset_bytes = extents->at_bytes,
                  .length_bytes = extents->size_bytes - extents->at_bytes,
                  .data = (uint8_t *)extents->list },
    };
    extents->list->count = 0;
    extents->finished = false;
    request_push(req, NULL, request_finished);
    layer_submit(extents->layer, req);
    while (!extents->finished)
        loop_run(extents->loop);
    if (req->error != 0 || extents->list->count == 0)
        extents->known = false;
}

static void fill(struct copy_extents *extents)
{
    extents->index = 0;
    extents->list->count = 0;
    if (extents->at_bytes >= extents->size_bytes)
        return;
    if (extents->known)
        ask(extents);
    if (!extents->known) {
        extents->list->count = 0;
        if (extents->context == 0)
            extent_list_add(extents->list, extents->size_bytes - extents->at_bytes, 0);
    }
    for (uint32_t i = 0; i < extents->list->count; i++)
        extents->at_bytes += extents->list->extents[i].length_bytes;
}

struct extent copy_extents_next(struct copy_extents *extents)
{
    if (extents->index == extents->list->count)
        fill(extents);
    if (extents->index == extents->list->count)
        return (struct extent){ 0 };
    return extents->list->extents[extents->index++];
}
