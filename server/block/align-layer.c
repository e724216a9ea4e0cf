#include "server/block/align-layer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct align_stage {
    struct stage stage;
    struct range_lock *ranges;
    struct range_stripes *stripes; /* of the lock; NULL: reads need not look */
};

/* A write goes through these in order; what it does not need is passed over:
 *
 *     CLAIM -> read the first block -> read the last block -> write -> release
 */
enum align_step { ALIGN_CLAIM, ALIGN_READ_FIRST, ALIGN_READ_LAST, ALIGN_WRITE };

static void align_submit(struct layer *layer, struct request *req);
static void read_start(struct layer *layer, struct request *req);
static void read_done(struct layer *layer, struct request *req);
static void read_claim(struct layer *layer, struct request *req);
static void read_granted(struct layer *layer, struct request *req);
static void read_again_done(struct layer *layer, struct request *req);
static void widen(struct layer *layer, struct request *req);
static void widened_done(struct layer *layer, struct request *req);
static void trim_extents(struct request *req, uint32_t skip_bytes, uint32_t block_bytes);
static void write_start(struct layer *layer, struct request *req);
static void write_step_done(struct layer *layer, struct request *req);
static void write_finish(struct layer *layer, struct request *req);

static uint32_t block_of(const struct layer *layer)
{
    return layer->below->stage->limits.block_min_bytes;
}

static uint64_t round_down(uint64_t offset_bytes, uint32_t block_bytes)
{
    return offset_bytes & ~(uint64_t)(block_bytes - 1);
}

static uint64_t round_up(uint64_t offset_bytes, uint32_t block_bytes)
{
    return round_down(offset_bytes + block_bytes - 1, block_bytes);
}

static uint64_t end_of(const struct view *view)
{
    return view->offset_bytes + view->length_bytes;
}

static void align_submit(struct layer *layer, struct request *req)
{
    struct view *view = &req->view;
    uint32_t block = block_of(layer);

    switch (view->op) {
    case REQUEST_READ:
        read_start(layer, req);
        return;
    case REQUEST_WRITE:
    case REQUEST_ZERO:
        write_start(layer, req);
        return;
    case REQUEST_TRIM: {
        uint64_t start = round_up(view->offset_bytes, block);
        uint64_t end = round_down(end_of(view), block);

        if (start >= end) {
            request_complete(req, 0); /* no whole block: nothing to give back */
            return;
        }
        view->offset_bytes = start;
        view->length_bytes = end - start;
        write_start(layer, req);
        return;
    }
    case REQUEST_CACHE:
    case REQUEST_EXTENTS:
        if ((view->offset_bytes | view->length_bytes) % block != 0) {
            request_push(req, layer, widened_done);
            widen(layer, req);
        }
        break;
    case REQUEST_FLUSH:
    case REQUEST_OP_COUNT:
        break;
    }
    layer_submit(layer->below, req);
}

/* ---- the range lock ---- */

static struct range_lock *ranges_of(const struct layer *layer)
{
    return container_of(layer->stage, struct align_stage, stage)->ranges;
}

static struct range_stripes *stripes_of(const struct layer *layer)
{
    return container_of(layer->stage, struct align_stage, stage)->stripes;
}

static void claim_granted(struct io_event *ev, int result)
{
    (void)result;
    request_complete(container_of(ev, struct request, claim.message.event), 0);
}

/* `next` is called when the blocks of the view are claimed; the caller has filled in which of them
 * exclusively. */
static void claim_blocks(struct layer *layer, struct request *req, request_done_fn *next)
{
    uint32_t block = block_of(layer);
    struct range_claim *claim = &req->claim;

    claim->start_bytes = round_down(req->view.offset_bytes, block);
    claim->end_bytes = round_up(end_of(&req->view), block);
    claim->loop = layer->loop;
    claim->message.event.fn = claim_granted;
    request_push(req, layer, next);
    if (range_lock_claim(ranges_of(layer), claim))
        request_complete(req, 0);
}

/* ---- reads ---- */

static void read_start(struct layer *layer, struct request *req)
{
    struct range_stripes *stripes = stripes_of(layer);
    struct view *view = &req->view;
    bool aligned = (view->offset_bytes | view->length_bytes) % block_of(layer) == 0;

    if (stripes != NULL &&
        !range_stripes_look(stripes, view->offset_bytes, end_of(view), &req->align_look)) {
        read_claim(layer, req);
        return;
    }
    if (stripes != NULL || !aligned)
        request_push(req, layer, stripes != NULL ? read_done : widened_done);
    if (!aligned)
        widen(layer, req);
    layer_submit(layer->below, req);
}

/* It was told from the start of the first block. */
static void narrow_error(struct layer *layer, struct request *req)
{
    uint32_t skip_bytes = (uint32_t)(req->view.offset_bytes % block_of(layer));

    req->error_at_bytes = req->error_at_bytes > skip_bytes ? req->error_at_bytes - skip_bytes : 0;
}

static void read_done(struct layer *layer, struct request *req)
{
    const struct view *view = &req->view;

    if (req->error != 0)
        narrow_error(layer, req);
    if (req->error != 0 || range_stripes_were_quiet(stripes_of(layer), view->offset_bytes,
                                                    end_of(view), req->align_look))
        request_complete(req, req->error);
    else
        read_claim(layer, req);
}

static void read_claim(struct layer *layer, struct request *req)
{
    req->claim.first_alone_bytes = req->claim.last_alone_bytes = 0;
    claim_blocks(layer, req, read_granted);
}

static void read_granted(struct layer *layer, struct request *req)
{
    request_push(req, layer, read_again_done);
    widen(layer, req);
    layer_submit(layer->below, req);
}

static void read_again_done(struct layer *layer, struct request *req)
{
    range_lock_release(ranges_of(layer), &req->claim);
    if (req->error != 0)
        narrow_error(layer, req);
    request_complete(req, req->error);
}

/* To whole blocks; there is a frame with the view as it was. */
static void widen(struct layer *layer, struct request *req)
{
    struct view *view = &req->view;
    uint32_t block = block_of(layer);
    uint64_t start = round_down(view->offset_bytes, block);
    uint64_t end = round_up(end_of(view), block);

    if (view->op == REQUEST_READ)
        view->data -= view->offset_bytes - start; /* the buffer leaves room: limits.phase_bytes */
    view->offset_bytes = start;
    view->length_bytes = end - start;
}

static void widened_done(struct layer *layer, struct request *req)
{
    if (req->view.op == REQUEST_EXTENTS && req->error == 0)
        trim_extents(req, (uint32_t)(req->view.offset_bytes % block_of(layer)), block_of(layer));
    if (req->error != 0)
        narrow_error(layer, req);
    request_complete(req, req->error);
}

/* Drops what lies in front of the range that was asked for and behind it.  Storage may have told
 * less than what lies in front: then the rest of the block, of which nothing is known, may be
 * data. */
static void trim_extents(struct request *req, uint32_t skip_bytes, uint32_t block_bytes)
{
    struct extent_list *list = (struct extent_list *)(void *)req->view.data;
    uint64_t left = req->view.length_bytes;
    uint32_t in_block = block_bytes - skip_bytes;
    uint32_t kept = 0;

    for (uint32_t i = 0; i < list->count && left > 0; i++) {
        struct extent extent = list->extents[i];
        uint32_t skipped =
            extent.length_bytes < skip_bytes ? (uint32_t)extent.length_bytes : skip_bytes;

        extent.length_bytes -= skipped;
        skip_bytes -= skipped;
        if (extent.length_bytes > left)
            extent.length_bytes = left;
        left -= extent.length_bytes;
        if (extent.length_bytes > 0)
            list->extents[kept++] = extent;
    }
    list->count = kept;
    if (kept == 0)
        extent_list_add(list, in_block < left ? in_block : left, 0);
}

/* ---- writes ---- */

static bool begins_in_block(const struct layer *layer, const struct view *view)
{
    return view->offset_bytes % block_of(layer) != 0;
}

static bool ends_in_block(const struct layer *layer, const struct view *view)
{
    return end_of(view) % block_of(layer) != 0;
}

/* Exclusive is what is read, changed and written back: the blocks at the edges. */
static void write_start(struct layer *layer, struct request *req)
{
    uint32_t block = block_of(layer);
    bool first = begins_in_block(layer, &req->view);
    bool last = ends_in_block(layer, &req->view);
    bool same =
        first && last && round_down(req->view.offset_bytes, block) + block >= end_of(&req->view);

    req->claim.first_alone_bytes = first ? block : 0;
    req->claim.last_alone_bytes = last && !same ? block : 0;
    req->align_step = ALIGN_CLAIM;
    claim_blocks(layer, req, write_step_done);
}

/* The buffer of an unaligned write: the widened range, then a scratch block for the first and
 * one for the last block as they are on the disk. */
static uint8_t *widened_data(struct layer *layer, const struct view *view)
{
    return view->data - view->offset_bytes % block_of(layer);
}

static uint8_t *scratch(struct layer *layer, const struct request *req, unsigned index)
{
    return widened_data(layer, &req->view) + (req->claim.end_bytes - req->claim.start_bytes) +
           (size_t)index * block_of(layer);
}

static void read_block(struct layer *layer, struct request *req, enum align_step step)
{
    uint32_t block = block_of(layer);
    bool first = step == ALIGN_READ_FIRST;
    struct view view = {
        .op = REQUEST_READ,
        .offset_bytes = first ? req->claim.start_bytes : req->claim.end_bytes - block,
        .length_bytes = block,
        .data = scratch(layer, req, first ? 0 : 1),
    };

    req->align_step = (uint8_t)step;
    request_push(req, layer, write_step_done);
    req->view = view;
    layer_submit(layer->below, req);
}

/* Puts the old bytes around the new ones and makes the view the whole widened range. */
static void merge_edges(struct layer *layer, struct request *req)
{
    struct view *view = &req->view;
    uint32_t block = block_of(layer);
    uint8_t *data = widened_data(layer, view);
    size_t before_bytes = view->offset_bytes % block;
    size_t end_in_block = end_of(view) % block;
    bool one_block = req->claim.end_bytes - req->claim.start_bytes == block;
    const uint8_t *first = scratch(layer, req, 0);
    const uint8_t *last = one_block && before_bytes > 0 ? first : scratch(layer, req, 1);

    assert(view->data != NULL);
    if (view->op == REQUEST_ZERO)
        memset(view->data, 0, view->length_bytes);
    memcpy(data, first, before_bytes);
    if (end_in_block > 0)
        memcpy(view->data + view->length_bytes, last + end_in_block, block - end_in_block);
    *view = (struct view){
        .op = REQUEST_WRITE,
        .offset_bytes = req->claim.start_bytes,
        .length_bytes = req->claim.end_bytes - req->claim.start_bytes,
        .data = data,
    };
}

static void write_blocks(struct layer *layer, struct request *req)
{
    req->align_step = ALIGN_WRITE;
    request_push(req, layer, write_step_done);
    if ((req->claim.first_alone_bytes | req->claim.last_alone_bytes) != 0)
        merge_edges(layer, req);
    layer_submit(layer->below, req);
}

static void write_step_done(struct layer *layer, struct request *req)
{
    bool one_block = req->claim.end_bytes - req->claim.start_bytes == block_of(layer);
    bool first = begins_in_block(layer, &req->view);

    if (req->error != 0 || req->align_step == ALIGN_WRITE)
        write_finish(layer, req);
    else if (req->align_step == ALIGN_CLAIM && first)
        read_block(layer, req, ALIGN_READ_FIRST);
    else if (req->align_step != ALIGN_READ_LAST && ends_in_block(layer, &req->view) &&
             !(one_block && first))
        read_block(layer, req, ALIGN_READ_LAST);
    else
        write_blocks(layer, req);
}

static void write_finish(struct layer *layer, struct request *req)
{
    range_lock_release(ranges_of(layer), &req->claim);
    request_complete(req, req->error);
}

/* ---- life ---- */

static int align_attach(struct layer **out, struct stage *stage, struct layer *below,
                        struct loop *loop, struct error *err)
{
    struct layer *layer = calloc(1, sizeof *layer);

    if (layer == NULL)
        return error_no_memory(err, "for a pipeline");
    *layer = (struct layer){ .ops = stage->ops, .stage = stage, .below = below, .loop = loop };
    *out = layer;
    return 0;
}

static void align_detach(struct layer *layer)
{
    free(layer);
}

static void align_close(struct stage *stage)
{
    free(container_of(stage, struct align_stage, stage));
}

static void align_grow(struct stage *stage)
{
    limits_grow(&stage->limits, stage->below->limits.size_bytes);
}

static const struct layer_ops align_ops = {
    .name = "align",
    .passes_contexts = true,
    .attach = align_attach,
    .submit = align_submit,
    .grow = align_grow,
    .detach = align_detach,
    .close = align_close,
};

int align_stage_create(struct stage **out, struct stage *below, struct range_lock *ranges,
                       struct error *err)
{
    struct align_stage *align = calloc(1, sizeof *align);

    if (align == NULL)
        return error_no_memory(err, "for a pipeline");
    align->stage = (struct stage){ .ops = &align_ops, .below = below, .limits = below->limits };
    align->stage.limits.block_min_bytes = 1;
    align->stage.limits.phase_bytes = below->limits.block_min_bytes;
    align->ranges = ranges;
    align->stripes = below->limits.halves_are_noise ? range_lock_stripes(ranges) : NULL;
    *out = &align->stage;
    return 0;
}
