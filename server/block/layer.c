#include "server/block/layer.h"

#include <assert.h>

#include "server/block/image-claim.h"

int stage_attach(struct layer **out, struct stage *top, struct loop *loop, struct error *err)
{
    struct layer *below = NULL;

    if (top->below != NULL) {
        int result = stage_attach(&below, top->below, loop, err);
        if (result < 0)
            return result;
    }
    int result = top->ops->attach(out, top, below, loop, err);
    if (result < 0 && below != NULL)
        layer_detach(below);
    return result;
}

void layer_leave(struct layer *top, struct io_event *ev)
{
    while (top->below != NULL)
        top = top->below;
    if (top->ops->leave != NULL)
        top->ops->leave(top, ev);
    else
        ev->fn(ev, 0);
}

void layer_detach(struct layer *top)
{
    while (top != NULL) {
        struct layer *below = top->below;

        top->ops->detach(top);
        top = below;
    }
}

void stage_close(struct stage *top)
{
    while (top != NULL) {
        struct stage *below = top->below;
        struct image_claim *claim = top->claim;

        top->ops->close(top);
        image_claim_release(claim);
        top = below;
    }
}

void stage_grow(struct stage *top)
{
    if (top->below != NULL)
        stage_grow(top->below);
    if (top->ops->grow != NULL)
        top->ops->grow(top);
}

struct stage *stage_backend(struct stage *top)
{
    while (top->below != NULL)
        top = top->below;
    return top;
}

const struct meta_contexts *stage_contexts(const struct stage *top)
{
    for (; top->below != NULL; top = top->below)
        if (!top->ops->passes_contexts)
            return NULL;
    return top->contexts;
}

/* Every check here is a promise of the layer above.  No client can break one (command_check() has
 * seen to the range), and neither can storage: limits are measured when it is opened, and stay, or
 * grow from below. */
void layer_submit(struct layer *layer, struct request *req)
{
    const struct limits *limits = &layer->stage->limits;
    const struct view *view = &req->view;
    uint64_t size_bytes = limits_size_bytes(limits);

    assert(req->depth > 0);
    assert(limits->ops & OP_BIT(view->op));
    assert(view->length_bytes <= size_bytes &&
           view->offset_bytes <= size_bytes - view->length_bytes);
    assert(offset_in_block(view->offset_bytes | view->length_bytes, limits->block_min_bytes) == 0);
    assert(view->op != REQUEST_ZERO || !limits->zero_needs_data || view->data != NULL);
    layer->ops->submit(layer, req);
}
