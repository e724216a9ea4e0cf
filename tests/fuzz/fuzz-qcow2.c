/* A good qcow2 image with any bytes changed: it is refused, or reads fail, or reads and extents
 * agree with each other; and nothing outside of its file is touched.
 *
 * The first byte chooses the image, the second its length; then each ten bytes are a place in the
 * file (16 bits, in units that reach all tables) and eight bytes to be put there.  With clang:
 * -fsanitize=fuzzer,address,undefined */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/log.h"
#include "server/block/image-io.h"
#include "server/block/qcow2-stage.h"

#define FILE_BYTES (512u * 1024)
#define READ_BYTES 65536u
#define CHANGE_BYTES 10u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- the file ---- */

static uint8_t *file; /* exactly as long as it is, so that the sanitizer sees what is behind it */

static void file_submit(struct layer *layer, struct request *req)
{
    const struct view *view = &req->view;

    if (view->op != REQUEST_READ || view->offset_bytes > layer->stage->limits.size_bytes ||
        view->length_bytes > layer->stage->limits.size_bytes - view->offset_bytes)
        abort();
    memcpy(view->data, file + view->offset_bytes, view->length_bytes);
    request_complete(req, 0);
}

static int file_attach(struct layer **out, struct stage *stage, struct layer *below,
                       struct loop *loop, struct error *err)
{
    struct layer *layer = calloc(1, sizeof *layer);

    if (layer == NULL)
        return error_no_memory(err, NULL);
    *layer = (struct layer){ .ops = stage->ops, .stage = stage, .below = below, .loop = loop };
    *out = layer;
    return 0;
}

static void file_detach(struct layer *layer)
{
    free(layer);
}

static void file_close(struct stage *stage)
{
    free(stage);
}

static const struct layer_ops file_ops = {
    .name = "file",
    .attach = file_attach,
    .submit = file_submit,
    .detach = file_detach,
    .close = file_close,
};

static struct stage *open_file(uint64_t size_bytes)
{
    struct stage *stage = calloc(1, sizeof *stage);

    if (stage == NULL)
        abort();
    *stage = (struct stage){ .ops = &file_ops,
                             .limits = { .size_bytes = size_bytes,
                                         .block_min_bytes = 1,
                                         .block_preferred_bytes = 4096,
                                         .phase_bytes = 1,
                                         .ops = OP_BIT(REQUEST_READ),
                                         .read_only = true } };
    return stage;
}

/* ---- a good image ---- */

static void put32(size_t at, uint32_t value)
{
    value = htobe32(value);
    memcpy(file + at, &value, sizeof value);
}

static void put64(size_t at, uint64_t value)
{
    value = htobe64(value);
    memcpy(file + at, &value, sizeof value);
}

/* Deflated, by a block that is stored as it is. */
static void put_stored(size_t at, uint16_t length)
{
    file[at] = 1;
    file[at + 1] = (uint8_t)length;
    file[at + 2] = (uint8_t)(length >> 8);
    file[at + 3] = (uint8_t)~file[at + 1];
    file[at + 4] = (uint8_t)~file[at + 2];
    memset(file + at + 5, 'c', length);
}

/* Two L2 tables behind L1: data, zeros, nothing, and a compressed cluster, in turn. */
static void make_tables(unsigned bits, unsigned l1, bool subclusters, bool version_1)
{
    unsigned cluster = 1u << bits, entry = subclusters ? 16 : 8, table = 2 * cluster;

    put64(l1, table);
    put64(l1 + 8, table + cluster);
    for (unsigned i = 0; i < 40 && i * entry + 16 <= 2 * cluster; i++) {
        size_t at = table + (size_t)i * entry;

        if (i % 4 == 0)
            put64(at, (uint64_t)(6 + i / 4 % 8) * cluster);
        else if (i % 4 == 1 && !version_1)
            put64(at, subclusters ? 0 : 1);
        else if (i % 4 == 2 && !version_1)
            put64(at, UINT64_C(1) << 62 | UINT64_C(2) << (62 - (bits - 8)) | (5 * cluster + 100));
        else if (i % 4 == 2)
            put64(at, UINT64_C(1) << 63 | UINT64_C(511) << (63 - bits) | (5 * cluster + 100));
        if (subclusters)
            put64(at + 8, i % 4 == 0 ? UINT64_C(0x00ff0000ff00ffff) & ~UINT64_C(0xffff00000000)
                                     : UINT64_C(0xf) << 40);
    }
    put_stored((size_t)5 * cluster + 100, bits == 9 ? 512 : 16384);
}

static void make_image(unsigned kind)
{
    bool version_1 = kind % 4 == 3, subclusters = kind % 4 == 2;
    unsigned bits = subclusters ? 14 : 9, cluster = 1u << bits;

    for (size_t i = 0; i < FILE_BYTES; i++)
        file[i] = (uint8_t)(i * 7 + i / 512);
    memset(file, 0, (size_t)5 * cluster);
    memcpy(file, "QFI\xfb", 4);
    if (version_1) {
        put32(4, 1);
        put64(24, 48 * cluster);
        file[32] = (uint8_t)bits;
        file[33] = 6;
        put64(40, 48);
        make_tables(bits, 48, false, true);
        return;
    }
    put32(4, kind % 4 == 1 ? 2 : 3);
    put32(20, bits);
    put64(24, 48 * (uint64_t)cluster);
    put32(36, 2);
    put64(40, cluster);
    if (kind % 4 != 1) {
        put64(72, subclusters ? 1u << 4 : 0);
        put32(100, 104);
    }
    make_tables(bits, cluster, subclusters, kind % 4 == 1);
}

/* ---- what is asked of it ---- */

static unsigned completed;

static void done(struct layer *owner, struct request *req)
{
    (void)owner, (void)req;
    completed++;
}

static int run(struct layer *layer, enum request_op op, uint64_t at, uint64_t length, void *out)
{
    struct request req = {
        .view = { .op = op, .offset_bytes = at, .length_bytes = length, .data = out }
    };

    completed = 0;
    request_push(&req, NULL, done);
    layer_submit(layer, &req);
    if (completed != 1)
        abort(); /* nothing here is waited for */
    return req.error;
}

static bool is_zero(const uint8_t *data, uint64_t length)
{
    for (uint64_t i = 0; i < length; i++)
        if (data[i] != 0)
            return false;
    return true;
}

static void check_extents(struct layer *layer, uint64_t at, uint64_t length, const uint8_t *whole)
{
    static union {
        struct extent_list list;
        uint8_t bytes[sizeof(struct extent_list) + 8 * sizeof(struct extent)];
    } told;
    struct extent_list *list = &told.list;
    uint64_t sum = 0;

    list->capacity = 8;
    list->count = 0;
    if (run(layer, REQUEST_EXTENTS, at, length, list) != 0)
        return;
    for (uint32_t i = 0; i < list->count; i++) {
        const struct extent *extent = &list->extents[i];

        if (extent->length_bytes == 0 || extent->length_bytes > length - sum)
            abort();
        if (whole != NULL && (extent->flags & EXTENT_ZERO) != 0 &&
            !is_zero(whole + sum, extent->length_bytes))
            abort();
        sum += extent->length_bytes;
    }
    if (sum == 0)
        abort();
}

/* In one, and in two parts. */
static void check_reads(struct layer *layer, uint64_t at, uint64_t length)
{
    static uint8_t whole[READ_BYTES], part[READ_BYTES];
    uint64_t first = length / 3;
    int error = run(layer, REQUEST_READ, at, length, whole);

    check_extents(layer, at, length, error == 0 ? whole : NULL);
    if (error != 0)
        return;
    if (first > 0 && run(layer, REQUEST_READ, at, first, part) != 0)
        abort();
    if (run(layer, REQUEST_READ, at + first, length - first, part + first) != 0 ||
        memcmp(whole, part, length) != 0)
        abort();
}

static void check_disk(struct stage *disk)
{
    uint64_t size = disk->limits.size_bytes;
    const uint64_t places[] = { 0, size / 3, size > READ_BYTES ? size - READ_BYTES : 0 };
    struct layer *layer;
    struct loop *loop;
    struct loop_config config = { .entries = 8 };

    if (loop_create(&loop, &config, NULL) < 0)
        return;
    if (stage_attach(&layer, disk, loop, NULL) == 0) {
        for (unsigned i = 0; i < 3 && size > 0; i++) {
            uint64_t left = size - places[i];

            check_reads(layer, places[i], left < READ_BYTES ? left : READ_BYTES);
            check_extents(layer, places[i], left, NULL);
        }
        layer_detach(layer);
    }
    loop_destroy(loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool quiet;
    uint64_t file_bytes = FILE_BYTES;
    struct qcow2_settings settings = { .name = "fuzz", .force = true };
    struct stage *below, *disk;

    if (!quiet)
        log_set_level(LOG_ERROR);
    quiet = true;
    if (size < 2)
        return 0;
    settings.snapshot = data[0] & 4 ? "before" : NULL;
    if (data[1] < 128)
        file_bytes = FILE_BYTES / 128 * data[1] + data[1];
    file = malloc(FILE_BYTES);
    if (file == NULL)
        return 0;
    make_image(data[0]);
    for (size_t at = 2; at + CHANGE_BYTES <= size; at += CHANGE_BYTES) {
        size_t place = (size_t)data[at] << 8 | data[at + 1];

        memcpy(file + place % (FILE_BYTES - 8), data + at + 2, 8);
    }
    uint8_t *cut = realloc(file, file_bytes > 0 ? file_bytes : 1);
    if (cut != NULL)
        file = cut;
    below = open_file(file_bytes);
    if (qcow2_stage_create(&disk, below, &settings, NULL) == 0) {
        check_disk(disk);
        below = disk;
    }
    stage_close(below);
    free(file);
    return 0;
}

#ifdef FUZZ_STANDALONE

#define RANDOM_INPUTS 3000u

int main(void)
{
    unsigned seed = 1;

    for (unsigned i = 0; i < RANDOM_INPUTS; i++) {
        uint8_t input[2 + 12 * CHANGE_BYTES];

        for (size_t k = 0; k < sizeof input; k++) {
            bool small = rand_r(&seed) % 2 == 0;

            input[k] = (uint8_t)(rand_r(&seed) % (small ? 8 : 256));
        }
        if (i % 8 != 0)
            input[1] = 255; /* as long as it should be */
        for (size_t at = 2; at < sizeof input; at += CHANGE_BYTES)
            input[at] = (uint8_t)(rand_r(&seed) % (i % 2 ? 1 : 8));
        LLVMFuzzerTestOneInput(input, 2 + (size_t)rand_r(&seed) % (sizeof input - 2));
    }
    return EXIT_SUCCESS;
}

#endif
