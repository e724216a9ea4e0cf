#include "server/block/window-layer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

struct window_stage {
    struct stage stage;
    uint64_t offset_bytes;
};

struct window_layer {
    struct layer layer;
    uint64_t offset_bytes;
};

/* It need not see the request again: who pushed the last frame gets the view back as it was. */
static void window_submit(struct layer *layer, struct request *req)
{
    if (req->view.op != REQUEST_FLUSH)
        req->view.offset_bytes += container_of(layer, struct window_layer, layer)->offset_bytes;
    layer_submit(layer->below, req);
}

static int window_attach(struct layer **out, struct stage *stage, struct layer *below,
                         struct loop *loop, struct error *err)
{
    struct window_layer *window = calloc(1, sizeof *window);

    if (window == NULL)
        return error_no_memory(err, "for a pipeline");
    window->layer =
        (struct layer){ .ops = stage->ops, .stage = stage, .below = below, .loop = loop };
    window->offset_bytes = container_of(stage, struct window_stage, stage)->offset_bytes;
    *out = &window->layer;
    return 0;
}

static void window_detach(struct layer *layer)
{
    free(container_of(layer, struct window_layer, layer));
}

static void window_close(struct stage *stage)
{
    free(container_of(stage, struct window_stage, stage));
}

static const struct layer_ops window_ops = {
    .name = "window",
    .attach = window_attach,
    .submit = window_submit,
    .detach = window_detach,
    .close = window_close,
};

int window_stage_create(struct stage **out, struct stage *below, const struct byte_range *range,
                        struct error *err)
{
    uint32_t block = below->limits.block_min_bytes;

    assert(range->size_bytes > 0 && range->size_bytes <= below->limits.size_bytes &&
           range->offset_bytes <= below->limits.size_bytes - range->size_bytes);
    if (range->offset_bytes % block != 0)
        return error_set(
            err, -EINVAL,
            "the part begins at byte %llu, which is not a multiple of the %u bytes that the "
            "image can be addressed by (without --direct they may be fewer)",
            (unsigned long long)range->offset_bytes, block);
    struct window_stage *window = calloc(1, sizeof *window);
    if (window == NULL)
        return error_no_memory(err, "for a pipeline");
    window->stage = (struct stage){ .ops = &window_ops, .below = below, .limits = below->limits };
    window->stage.limits.size_bytes = range->size_bytes / block * block;
    window->offset_bytes = range->offset_bytes;
    *out = &window->stage;
    return 0;
}
