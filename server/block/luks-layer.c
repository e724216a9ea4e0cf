#include "server/block/luks-layer.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/cipher/cipher.h"
#include "crypto/secret-mark.h"
#include "server/base/zeros.h"
#include "server/base/probe.h"
#include "server/board/board-owner.h"

struct luks_stage {
    struct stage stage;
    struct luks_segment segment;
    struct secret *volume_key; /* NULL: it has gone for a time */
    struct secret_mark mark;   /* of that key, then */
    atomic_bool suspended;
    bool zero_holes;
};

struct luks_layer {
    struct layer layer;
    struct cipher *cipher; /* this worker's own; NULL: suspended */
    uint64_t payload_offset_bytes;
    uint64_t iv_offset_sectors;
    uint32_t sector_bytes;
    bool zero_holes;
    bool zeroes_below;           /* ZERO is passed on as it is */
    uint32_t untimed;            /* calls of the cipher until one is timed */
    struct board_crypto *counts; /* two: what is decrypted, what is encrypted */
    struct board_crypto nowhere[2];
};

/* ---- the cipher, and what it costs ---- */

typedef void cipher_fn(struct cipher *cipher, uint64_t iv_sector, uint8_t *data,
                       size_t length_bytes);

RARELY static void run_timed(struct luks_layer *luks, cipher_fn *run, struct board_crypto *counts,
                             uint64_t iv_sector, uint8_t *data, size_t length_bytes)
{
    uint64_t start_ns = board_now_ns();

    luks->untimed = BOARD_CRYPTO_TIMED;
    run(luks->cipher, iv_sector, data, length_bytes);
    board_add(&counts->ns, (board_now_ns() - start_ns) * BOARD_CRYPTO_TIMED);
}

static inline void run_counted(struct luks_layer *luks, cipher_fn *run, struct board_crypto *counts,
                               uint64_t iv_sector, uint8_t *data, size_t length_bytes)
{
    board_add(&counts->bytes, length_bytes);
    PROBE(crypto_begin, luks, run == cipher_encrypt, length_bytes);
    if (--luks->untimed == 0)
        run_timed(luks, run, counts, iv_sector, data, length_bytes);
    else
        run(luks->cipher, iv_sector, data, length_bytes);
    PROBE(crypto_end, luks);
}

static void decrypt(struct luks_layer *luks, uint64_t iv_sector, uint8_t *data, size_t length_bytes)
{
    run_counted(luks, cipher_decrypt, &luks->counts[0], iv_sector, data, length_bytes);
}

static void encrypt(struct luks_layer *luks, uint64_t iv_sector, uint8_t *data, size_t length_bytes)
{
    run_counted(luks, cipher_encrypt, &luks->counts[1], iv_sector, data, length_bytes);
}

/* ---- requests ---- */

static uint64_t luks_iv(const struct luks_layer *luks, const struct request *req)
{
    return luks->iv_offset_sectors + req->view.offset_bytes / 512;
}

/* A hole decrypts to noise: that it reads as zeros is no longer true. */
static void hide_zeros(struct extent_list *list)
{
    uint32_t count = list->count;

    list->count = 0;
    for (uint32_t i = 0; i < count; i++)
        extent_list_add(list, list->extents[i].length_bytes, list->extents[i].flags & ~EXTENT_ZERO);
}

/* Decrypts what is not a sector of zeros, a run between two holes at a time. */
static void decrypt_around_holes(struct luks_layer *luks, struct request *req)
{
    const struct view *view = &req->view;
    uint32_t sector = luks->sector_bytes;
    uint32_t run_at = 0;

    for (uint32_t at = 0; at <= view->length_bytes; at += sector) {
        bool end = at == view->length_bytes;

        if (!end && !zeros_only(view->data + at, sector))
            continue;
        if (at > run_at)
            decrypt(luks, luks_iv(luks, req) + run_at / 512, view->data + run_at, at - run_at);
        run_at = at + sector;
    }
}

/* Zeros are claimed of whole sectors only: a boundary within a sector moves so that the sector is
 * not of the extent that reads as zeros, unless both do. */
static void round_zeros(const struct luks_layer *luks, const struct request *req)
{
    struct extent_list *list = (struct extent_list *)(void *)req->view.data;
    uint32_t count = list->count;
    uint64_t end = 0, rounded_start = 0;

    list->count = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct extent extent = list->extents[i];
        uint64_t rounded_end;

        end += extent.length_bytes;
        rounded_end = end / luks->sector_bytes * luks->sector_bytes;
        if (rounded_end < end && !(extent.flags & EXTENT_ZERO))
            rounded_end += luks->sector_bytes;
        if (rounded_end > rounded_start) {
            extent_list_add(list, rounded_end - rounded_start, extent.flags);
            rounded_start = rounded_end;
        }
    }
    if (list->count == 0) /* less than a sector was told */
        extent_list_add(list, luks->sector_bytes, 0);
}

static void luks_done(struct layer *layer, struct request *req)
{
    struct luks_layer *luks = container_of(layer, struct luks_layer, layer);

    if (req->error == 0 && req->view.op == REQUEST_READ) {
        if (luks->cipher == NULL)
            req->error = ESHUTDOWN;
        else if (luks->zero_holes)
            decrypt_around_holes(luks, req);
        else
            decrypt(luks, luks_iv(luks, req), req->view.data, req->view.length_bytes);
    }
    if (req->error == 0 && req->view.op == REQUEST_EXTENTS) {
        if (luks->zero_holes)
            round_zeros(luks, req);
        else
            hide_zeros((struct extent_list *)(void *)req->view.data);
    }
    request_complete(req, req->error);
}

/* In place: the plaintext of a write is never needed again. ZERO has to read back as zeros,
 * so it is a write of zeros that did not cross the network, unless zeros below read as zeros. */
static void luks_submit(struct layer *layer, struct request *req)
{
    struct luks_layer *luks = container_of(layer, struct luks_layer, layer);
    struct view *view = &req->view;

    request_push(req, layer, luks_done);
    if (view->op == REQUEST_ZERO && !luks->zeroes_below) {
        memset(view->data, 0, view->length_bytes);
        view->op = REQUEST_WRITE;
    }
    if (view->op == REQUEST_WRITE && luks->cipher == NULL) {
        request_complete(req, ESHUTDOWN);
        return;
    }
    if (view->op == REQUEST_WRITE)
        encrypt(luks, luks_iv(luks, req), view->data, view->length_bytes);
    if (view->op != REQUEST_FLUSH)
        view->offset_bytes += luks->payload_offset_bytes;
    layer_submit(layer->below, req);
}

static int create_cipher(struct luks_layer *luks, const struct luks_stage *owner, struct error *err)
{
    return cipher_create(&luks->cipher, &owner->segment.cipher, owner->volume_key,
                         owner->segment.sector_bytes, err);
}

static int luks_attach(struct layer **out, struct stage *stage, struct layer *below,
                       struct loop *loop, struct error *err)
{
    struct luks_stage *owner = container_of(stage, struct luks_stage, stage);
    struct luks_layer *luks = calloc(1, sizeof *luks);

    if (luks == NULL)
        return error_no_memory(err, "for a pipeline");
    int result = atomic_load(&owner->suspended) ? 0 : create_cipher(luks, owner, err);
    if (result < 0) {
        free(luks);
        return result;
    }
    luks->layer = (struct layer){ .ops = stage->ops, .stage = stage, .below = below, .loop = loop };
    luks->payload_offset_bytes = owner->segment.payload_offset_bytes;
    luks->iv_offset_sectors = owner->segment.iv_offset_sectors;
    luks->sector_bytes = owner->segment.sector_bytes;
    luks->zero_holes = owner->zero_holes;
    luks->untimed = BOARD_CRYPTO_TIMED;
    luks->counts = luks->nowhere;
    luks->zeroes_below =
        owner->zero_holes && (stage->below->limits.ops & OP_BIT(REQUEST_ZERO)) != 0;
    *out = &luks->layer;
    return 0;
}

static void luks_detach(struct layer *layer)
{
    struct luks_layer *luks = container_of(layer, struct luks_layer, layer);

    if (luks->cipher != NULL)
        cipher_destroy(luks->cipher);
    free(luks);
}

static void luks_close(struct stage *stage)
{
    struct luks_stage *luks = container_of(stage, struct luks_stage, stage);

    secret_free(luks->volume_key);
    free(luks);
}

/* A multiple of the volume's sectors and of what the image can be addressed by. */
static uint64_t whole_blocks(uint64_t payload_bytes, uint32_t sector_bytes,
                             uint32_t block_min_bytes)
{
    uint64_t size_bytes = payload_bytes / sector_bytes * sector_bytes;

    return size_bytes / block_min_bytes * block_min_bytes;
}

static void luks_grow(struct stage *stage)
{
    const struct luks_segment *segment = &container_of(stage, struct luks_stage, stage)->segment;
    uint64_t image_bytes = stage->below->limits.size_bytes;

    /* As luks_policy_payload() has seen to: numbers of sectors do not wrap. */
    if (!segment->fixed_size && image_bytes > segment->payload_offset_bytes &&
        segment->iv_offset_sectors <= UINT64_MAX - image_bytes / 512)
        limits_grow(&stage->limits,
                    whole_blocks(image_bytes - segment->payload_offset_bytes, segment->sector_bytes,
                                 stage->limits.block_min_bytes));
}

static const struct layer_ops luks_ops = {
    .name = "luks",
    .attach = luks_attach,
    .submit = luks_submit,
    .grow = luks_grow,
    .detach = luks_detach,
    .close = luks_close,
};

static struct limits luks_limits(const struct limits *below, const struct luks_segment *segment,
                                 struct luks_holes holes)
{
    struct limits limits = *below;
    uint32_t sector = segment->sector_bytes;

    limits.halves_are_noise = true;
    limits.tells_zeros &= holes.zero_holes;
    if (limits.block_min_bytes < sector)
        limits.block_min_bytes = sector;
    if (limits.block_preferred_bytes < limits.block_min_bytes)
        limits.block_preferred_bytes = limits.block_min_bytes;
    limits.size_bytes = whole_blocks(segment->payload_bytes, sector, limits.block_min_bytes);
    if (!holes.zero_holes || !(below->ops & OP_BIT(REQUEST_ZERO)))
        limits.zero_needs_data = true;
    if (below->ops & OP_BIT(REQUEST_WRITE))
        limits.ops |= OP_BIT(REQUEST_ZERO);
    if (!holes.discard && !holes.zero_holes)
        limits.ops &= ~OP_BIT(REQUEST_TRIM);
    return limits;
}

int luks_stage_create(struct stage **out, struct stage *below, const struct luks_segment *segment,
                      struct secret *volume_key, struct luks_holes holes, struct error *err)
{
    if (segment->payload_offset_bytes % below->limits.block_min_bytes != 0)
        return error_set(err, -EINVAL,
                         "the data begins at byte %llu, which is not a multiple of the %u bytes "
                         "that the image can be addressed by; serve it without --direct",
                         (unsigned long long)segment->payload_offset_bytes,
                         below->limits.block_min_bytes);
    struct luks_stage *luks = calloc(1, sizeof *luks);
    if (luks == NULL)
        return error_no_memory(err, "for a pipeline");
    luks->stage = (struct stage){
        .ops = &luks_ops,
        .below = below,
        .limits = luks_limits(&below->limits, segment, holes),
    };
    luks->segment = *segment;
    luks->volume_key = volume_key;
    luks->zero_holes = holes.zero_holes;
    *out = &luks->stage;
    return 0;
}

static const struct luks_stage *find_luks(const struct stage *top)
{
    while (top != NULL && top->ops != &luks_ops)
        top = top->below;
    return top != NULL ? container_of(top, struct luks_stage, stage) : NULL;
}

bool luks_stages_share_key(const struct stage *a, const struct stage *b)
{
    const struct luks_stage *one = find_luks(a), *other = find_luks(b);

    return one != NULL && other != NULL && !atomic_load(&one->suspended) &&
           !atomic_load(&other->suspended) && secret_equal(one->volume_key, other->volume_key);
}

/* ---- what is counted ---- */

void luks_layer_count(struct layer *top, struct board_crypto *counts)
{
    while (top != NULL && top->ops != &luks_ops)
        top = top->below;
    if (top == NULL)
        return;
    struct luks_layer *luks = container_of(top, struct luks_layer, layer);
    luks->counts = counts != NULL ? counts : luks->nowhere;
}

/* ---- a key that goes for a time ---- */

static struct luks_stage *luks_of(struct stage *top)
{
    return (struct luks_stage *)find_luks(top);
}

static struct luks_layer *layer_of(struct layer *top)
{
    while (top->stage->ops != &luks_ops)
        top = top->below;
    return container_of(top, struct luks_layer, layer);
}

const struct luks_segment *luks_stage_segment(const struct stage *top)
{
    const struct luks_stage *luks = find_luks(top);

    return luks != NULL ? &luks->segment : NULL;
}

const struct secret *luks_stage_volume_key(const struct stage *top)
{
    const struct luks_stage *luks = find_luks(top);

    return luks != NULL ? luks->volume_key : NULL;
}

struct stage *luks_stage_image(struct stage *top)
{
    return luks_of(top)->stage.below;
}

int luks_stage_suspend(struct stage *top, struct error *err)
{
    struct luks_stage *luks = luks_of(top);
    int result = secret_mark_make(&luks->mark, luks->volume_key, err);

    if (result == 0)
        atomic_store(&luks->suspended, true);
    return result;
}

bool luks_stage_knows(const struct stage *top, const struct secret *volume_key)
{
    return secret_mark_fits(&find_luks(top)->mark, volume_key);
}

void luks_layer_forget(struct layer *top)
{
    struct luks_layer *luks = layer_of(top);

    if (luks->cipher != NULL)
        cipher_destroy(luks->cipher);
    luks->cipher = NULL;
}

void luks_stage_forget(struct stage *top)
{
    struct luks_stage *luks = luks_of(top);

    secret_free(luks->volume_key);
    luks->volume_key = NULL;
}

void luks_stage_restore(struct stage *top, struct secret *volume_key)
{
    struct luks_stage *luks = luks_of(top);

    if (volume_key != NULL)
        luks->volume_key = volume_key;
    atomic_store(&luks->suspended, false);
}

int luks_layer_restore(struct layer *top, struct error *err)
{
    struct luks_layer *luks = layer_of(top);

    if (luks->cipher != NULL)
        return 0;
    return create_cipher(luks, container_of(luks->layer.stage, struct luks_stage, stage), err);
}
