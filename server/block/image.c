#include "server/block/image.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/block/flusher.h"
#include "server/block/image-window.h"
#include "server/base/log.h"
#include "server/block/window-layer.h"

/* ---- IMAGE ---- */

static const struct layer_ops *backend_find(const char *name, size_t name_bytes)
{
    for (size_t i = 0; layer_backends[i] != NULL; i++)
        if (strlen(layer_backends[i]->name) == name_bytes &&
            strncmp(layer_backends[i]->name, name, name_bytes) == 0)
            return layer_backends[i];
    return NULL;
}

/* The length of "scheme" when `spec` begins with "scheme:" and is not an existing path. */
static size_t scheme_length(const char *spec)
{
    size_t length = 0;

    while (islower((unsigned char)spec[length]) || spec[length] == '+')
        length++;
    if (length < 2 || spec[length] != ':')
        return 0;
    if (backend_find(spec, length) == NULL && access(spec, F_OK) == 0)
        return 0;
    return length;
}

static int refuse_scheme(const char *spec, size_t length, struct error *err)
{
    char known[256] = "";
    size_t used = 0;

    for (size_t i = 0; layer_backends[i] != NULL; i++) {
        const char *name = layer_backends[i]->name;
        size_t name_bytes = strlen(name);

        if (used + name_bytes + 4 > sizeof known)
            break;
        if (used > 0) {
            memcpy(known + used, ", ", 2);
            used += 2;
        }
        memcpy(known + used, name, name_bytes);
        memcpy(known + used + name_bytes, ":", 2);
        used += name_bytes + 1;
    }
    return error_set(err, -EINVAL,
                     "image '%s': no backend is called '%.*s' (there are %s); for a file of that "
                     "name write './%s'",
                     spec, (int)length, spec, known, spec);
}

/* What IMAGE says: which backend, and what it is told. */
struct parsed_spec {
    const struct layer_ops *ops;
    char *path;           /* "PATH", or what is behind "scheme:", up to the '?'; owned */
    struct params params; /* of the backend; points into `path` */
    struct image_window window;
};

/* A plugin of nbdkit knows which names it has. */
static bool takes_any_name(const struct layer_ops *ops)
{
    return ops->params != NULL && ops->params[0].name == NULL;
}

/* Where the backend has no parameters of its own, a '?' belongs to the path unless those of a
 * window are behind it. */
static int parse_parameters(struct parsed_spec *out, struct error *err)
{
    const struct layer_ops *ops = out->ops;
    char *question =
        ops->params != NULL ? strchr(out->path, '?') : image_window_question(out->path);

    if (question == NULL)
        return 0;
    *question = '\0';
    out->params.text = question + 1;
    int code = takes_any_name(ops) ? 0 : image_window_parse(&out->window, question + 1, err);
    if (code == 0 && ops->params == NULL && question[1] != '\0')
        code =
            error_set(err, -EINVAL, "behind '?' there may be offset, size or partition, not '%s'",
                      question + 1);
    return code;
}

/* The caller frees out->path in any case. */
static int parse_spec(struct parsed_spec *out, const char *spec, struct error *err)
{
    size_t length = scheme_length(spec);

    *out = (struct parsed_spec){ .ops = length > 0 ? backend_find(spec, length)
                                                   : backend_find("file", strlen("file")) };
    if (out->ops == NULL)
        return refuse_scheme(spec, length, err);
    out->path = strdup(length > 0 ? spec + length + 1 : spec);
    if (out->path == NULL)
        return error_set(err, -ENOMEM, "not enough memory to open image '%s'", spec);
    int code = parse_parameters(out, err);
    if (code < 0)
        error_prefix(err, "image '%s': ", spec);
    return code;
}

bool image_names_a_part(const char *spec)
{
    struct parsed_spec parsed;
    struct error ignored = { "" };
    int code = parse_spec(&parsed, spec, &ignored);

    free(parsed.path);
    return code < 0 || parsed.window.given;
}

/* Puts the window on the backend that was opened.  Others may change the partition table until the
 * part is locked, so it is looked up again then. */
static int add_window(struct stage **stage, const struct image_window *window,
                      struct stage_settings *settings, struct error *err)
{
    const struct layer_ops *ops = (*stage)->ops;
    struct byte_range again;
    int code = image_window_find(&settings->part, window, *stage, err);

    if (code == 0 && settings->options.lock && ops->lock != NULL) {
        code = ops->lock(*stage, settings, err);
        if (code == 0)
            code = image_window_find(&again, window, *stage, err);
        if (code == 0 && (again.offset_bytes != settings->part.offset_bytes ||
                          again.size_bytes != settings->part.size_bytes))
            code = error_set(err, -EBUSY, "its partition table was changed just now; try again");
    }
    return code == 0 ? window_stage_create(stage, *stage, &settings->part, err) : code;
}

static int open_parsed(struct stage **out, const struct parsed_spec *parsed,
                       struct stage_settings *settings, struct error *err)
{
    struct stage *stage = NULL;
    int code = parsed->ops->open(&stage, settings, err);

    if (code == 0 && parsed->window.given)
        code = add_window(&stage, &parsed->window, settings, err);
    if (code < 0)
        stage_close(stage);
    else
        *out = stage;
    return code;
}

bool image_opens_in_order(const char *spec)
{
    size_t length = scheme_length(spec);
    const struct layer_ops *ops =
        length > 0 ? backend_find(spec, length) : backend_find("file", strlen("file"));

    return ops != NULL && ops->opens_in_order;
}

int image_open(struct stage **out, const char *spec, const struct image_options *options,
               struct error *err)
{
    struct parsed_spec parsed;
    int code = parse_spec(&parsed, spec, err);

    if (code < 0) {
        free(parsed.path);
        return code;
    }
    struct stage_settings settings = {
        .params = &parsed.params,
        .path = parsed.path,
        .options = *options,
        .lock_later = parsed.window.given,
    };
    if (options->beside != NULL)
        settings.options.beside = stage_backend(options->beside);
    code = open_parsed(out, &parsed, &settings, err);
    if (code < 0)
        error_prefix(err, "image '%s': ", spec);
    free(parsed.path);
    return code;
}

void image_header_was_read(struct stage *stage)
{
    struct stage *backend = stage_backend(stage);

    if (backend->ops->header_was_read != NULL)
        backend->ops->header_was_read(backend);
}

static bool can_flush(const struct stage *stage)
{
    return stage->limits.ops & OP_BIT(REQUEST_FLUSH);
}

void image_warn_if_volatile(const struct stage *stage, const char *spec)
{
    if (!can_flush(stage) && !stage->limits.fua)
        log_warning(
            "image '%s': it has neither FLUSH nor FUA, so that nobody knows when something is "
            "stored for good: a loss of power there may undo the change or leave it half done",
            spec);
}

/* ---- blocking access ---- */

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
        return error_set(err, -ENOMEM, "not enough memory to read an image");
    }
    io->bounce = bounce;
    int code = loop_create(&io->loop, &config, err);
    if (code == 0)
        code = stage_attach(&io->layer, stage, io->loop, err);
    if (code < 0) {
        image_io_destroy(io);
        return code;
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
int image_flush_on(struct stage *stage, struct loop *loop, struct error *err)
{
    struct image_io io = { .loop = loop };
    int code = stage_attach(&io.layer, stage, loop, err);

    if (code < 0)
        return code;
    flusher_begin(&io.flusher, io.layer);
    code = image_flush(&io, err);
    flusher_end(&io.flusher, true);
    layer_detach(io.layer);
    return code;
}

static void request_finished(struct layer *owner, struct request *req)
{
    struct image_io *io = container_of(req, struct image_io, request);

    (void)owner;
    io->finished = true;
    loop_stop(io->loop);
}

/* Runs one request on the private loop; 0 or a positive errno. */
static int run_request(struct image_io *io, enum request_op op, uint64_t offset_bytes,
                       uint32_t length_bytes)
{
    struct request *req = &io->request;

    *req = (struct request){
        .view = { .op = op, .offset_bytes = offset_bytes, .length_bytes = length_bytes },
        .flusher = &io->flusher,
    };
    if (op != REQUEST_FLUSH)
        req->view.data = io->bounce;
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

int image_read(struct image_io *io, uint64_t offset_bytes, void *data, size_t length_bytes,
               struct error *err)
{
    uint8_t *out = data;
    int code = check_range(io, offset_bytes, length_bytes, err);

    while (code == 0 && length_bytes > 0) {
        struct window window = next_window(io, offset_bytes, length_bytes);
        int error = run_request(io, REQUEST_READ, window.start_bytes, window.length_bytes);

        if (error != 0)
            return explain("reading", offset_bytes, error, err);
        memcpy(out, io->bounce + window.skip_bytes, window.use_bytes);
        out += window.use_bytes;
        offset_bytes += window.use_bytes;
        length_bytes -= window.use_bytes;
    }
    return code;
}

int image_write(struct image_io *io, uint64_t offset_bytes, const void *data, size_t length_bytes,
                struct error *err)
{
    const uint8_t *in = data;
    int code = check_range(io, offset_bytes, length_bytes, err);

    while (code == 0 && length_bytes > 0) {
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
    return code;
}

int image_flush(struct image_io *io, struct error *err)
{
    if (!can_flush(io->layer->stage))
        return 0;
    int error = run_request(io, REQUEST_FLUSH, 0, 0);
    if (error != 0)
        return error_set(err, -error, "flushing failed: %s", strerror(error));
    return 0;
}
