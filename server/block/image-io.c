#include "server/block/image-io.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/block/flusher.h"

static bool can_flush(const struct stage *stage)
{
    return stage->limits.ops & OP_BIT(REQUEST_FLUSH);
}

#define BOUNCE_BYTES BUFFER_BYTES_MAX

struct image_io {
    struct loop *loop;
    struct layer *layer;
    struct flusher flusher;
    uint8_t *bounce; /* page aligned, for O_DIRECT */
    struct request request;
    bool finished;
};

int image_io_create(struct image_io **out, struct stage *stage, struct error *err)
{
    struct loop_config config = { .entries = 8 };
    struct image_io *io = calloc(1, sizeof *io);
    void *bounce = NULL;

    if (io == NULL || posix_memalign(&bounce, 4096, BOUNCE_BYTES) != 0) {
        free(io);
        return error_no_memory(err, "to read an image");
    }
    io->bounce = bounce;
    int result = loop_create(&io->loop, &config, err);
    if (result == 0)
        result = stage_attach(&io->layer, stage, io->loop, err);
    if (result < 0) {
        image_io_destroy(io);
        return result;
    }
    flusher_begin(&io->flusher, io->layer);
    *out = io;
    return 0;
}

void image_io_destroy(struct image_io *io)
{
    if (io == NULL)
        return;
    flusher_end(&io->flusher, true);
    layer_detach(io->layer);
    loop_destroy(io->loop);
    free(io->bounce);
    free(io);
}

/* What is only flushed needs no bounce buffer. */
int image_io_flush_on(struct stage *stage, struct loop *loop, struct error *err)
{
    struct image_io io = { .loop = loop, .flusher = { .since_start = true } };
    int result = stage_attach(&io.layer, stage, loop, err);

    if (result < 0)
        return result;
    flusher_begin(&io.flusher, io.layer);
    result = image_io_flush(&io, err);
    flusher_end(&io.flusher, true);
    layer_detach(io.layer);
    return result;
}

static void request_finished(struct layer *owner, struct request *req)
{
    struct image_io *io = container_of(req, struct image_io, request);

    (void)owner;
    io->finished = true;
    loop_stop(io->loop);
}

/* Runs one request on the private loop; 0 or a positive errno. */
static int run_view(struct image_io *io, const struct view *view)
{
    struct request *req = &io->request;
    enum request_op op = view->op;

    *req = (struct request){ .view = *view, .flusher = &io->flusher };
    if (op == REQUEST_WRITE && !can_flush(io->layer->stage) && io->layer->stage->limits.fua)
        req->flags = REQUEST_FUA;
    io->finished = false;
    request_push(req, NULL, request_finished);
    layer_submit(io->layer, req);
    while (!io->finished)
        loop_run(io->loop);
    if (req->error == 0 && req->epoch != 0) {
        flusher_write_done(&io->flusher, req->epoch);
        flusher_answers_leave(&io->flusher);
    }
    return req->error;
}

static int run_request(struct image_io *io, enum request_op op, uint64_t offset_bytes,
                       uint32_t length_bytes)
{
    const struct view view = { .op = op,
                               .offset_bytes = offset_bytes,
                               .length_bytes = length_bytes,
                               .data = op != REQUEST_FLUSH ? io->bounce : NULL };

    return run_view(io, &view);
}

static int explain(const char *verb, uint64_t offset_bytes, int error, struct error *err)
{
    return error_set(err, -error, "%s at byte %llu failed: %s", verb,
                     (unsigned long long)offset_bytes, strerror(error));
}

/* The blocks around the next bytes, as much as fits the bounce buffer. */
struct window {
    uint64_t start_bytes;
    uint32_t length_bytes;
    uint32_t skip_bytes; /* from the window's start to the bytes asked for */
    uint32_t use_bytes;
};

static struct window next_window(const struct image_io *io, uint64_t offset_bytes,
                                 size_t left_bytes)
{
    uint32_t block = io->layer->stage->limits.block_min_bytes;
    struct window window = { .start_bytes = offset_bytes / block * block };

    window.skip_bytes = (uint32_t)(offset_bytes - window.start_bytes);
    window.use_bytes = BOUNCE_BYTES - window.skip_bytes;
    if (window.use_bytes > left_bytes)
        window.use_bytes = (uint32_t)left_bytes;
    window.length_bytes = (window.skip_bytes + window.use_bytes + block - 1) / block * block;
    return window;
}

static int check_range(const struct image_io *io, uint64_t offset_bytes, size_t length_bytes,
                       struct error *err)
{
    uint64_t size = io->layer->stage->limits.size_bytes;

    if (length_bytes <= size && offset_bytes <= size - length_bytes)
        return 0;
    return error_set(err, -EINVAL, "%zu bytes at byte %llu lie outside the image of %llu bytes",
                     length_bytes, (unsigned long long)offset_bytes, (unsigned long long)size);
}

int image_io_read(struct image_io *io, uint64_t offset_bytes, void *data, size_t length_bytes,
                  struct error *err)
{
    uint8_t *out = data;
    int result = check_range(io, offset_bytes, length_bytes, err);

    while (result == 0 && length_bytes > 0) {
        struct window window = next_window(io, offset_bytes, length_bytes);
        int error = run_request(io, REQUEST_READ, window.start_bytes, window.length_bytes);

        if (error != 0)
            return explain("reading", offset_bytes, error, err);
        memcpy(out, io->bounce + window.skip_bytes, window.use_bytes);
        out += window.use_bytes;
        offset_bytes += window.use_bytes;
        length_bytes -= window.use_bytes;
    }
    return result;
}

int image_io_write(struct image_io *io, uint64_t offset_bytes, const void *data,
                   size_t length_bytes, struct error *err)
{
    const uint8_t *in = data;
    int result = check_range(io, offset_bytes, length_bytes, err);

    if (!(io->layer->stage->limits.ops & OP_BIT(REQUEST_WRITE)))
        return error_set(err, -EROFS, "it can't be written");
    while (result == 0 && length_bytes > 0) {
        struct window window = next_window(io, offset_bytes, length_bytes);
        int error = 0;

        if (window.length_bytes != window.use_bytes) /* keep what is around it */
            error = run_request(io, REQUEST_READ, window.start_bytes, window.length_bytes);
        if (error == 0) {
            memcpy(io->bounce + window.skip_bytes, in, window.use_bytes);
            error = run_request(io, REQUEST_WRITE, window.start_bytes, window.length_bytes);
        }
        if (error != 0)
            return explain("writing", offset_bytes, error, err);
        in += window.use_bytes;
        offset_bytes += window.use_bytes;
        length_bytes -= window.use_bytes;
    }
    return result;
}

int image_io_extents(struct image_io *io, struct extent_list *out, uint64_t offset_bytes,
                     uint64_t length_bytes, struct error *err)
{
    const struct view view = { .op = REQUEST_EXTENTS,
                               .offset_bytes = offset_bytes,
                               .length_bytes = length_bytes,
                               .data = (uint8_t *)out };

    out->count = 0;
    int error = run_view(io, &view);
    return error != 0 ? explain("asking for the extents", offset_bytes, error, err) : 0;
}

int image_io_flush(struct image_io *io, struct error *err)
{
    if (!can_flush(io->layer->stage))
        return 0;
    int error = run_request(io, REQUEST_FLUSH, 0, 0);
    if (error != 0)
        return error_set(err, -error, "flushing failed: %s", strerror(error));
    return 0;
}
