/* memory:SIZE, and the template to copy for a new backend.
 *
 * A backend is a `struct layer_ops` with five functions, and a row in plugin-table.c:
 *
 *   open    once per export, may block: makes the stage, fills its limits
 *   attach  once per worker, on its thread: makes the layer, which may hold what only that
 *           worker's loop may touch
 *   submit  starts one request; it completes exactly once, here or later, on this thread
 *   detach, close  undo them; nothing is in flight then */
#include "plugins/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* What the whole export shares. `stage` comes first by habit, container_of() finds the rest. */
struct memory_stage {
    struct stage stage;
    uint8_t *disk; /* mapped without reserve: costs memory as it is written */
};

/* What one worker has of it. */
struct memory_layer {
    struct layer layer;
    uint8_t *disk;
};

/* ---- opening ---- */

static int memory_open(struct stage **out, const struct stage_settings *settings, struct error *err)
{
    uint64_t size_bytes;

    /* An error is a sentence; image_open() puts "image '...': " in front. */
    int result = params_parse_size(&size_bytes, settings->path, err);
    if (result < 0)
        return result;
    if (size_bytes == 0 || size_bytes > INT64_MAX)
        return error_set(err, -EINVAL, "the size must be at least 1 byte and below 8 EiB");

    struct memory_stage *memory = calloc(1, sizeof *memory);
    if (memory == NULL)
        return error_no_memory(err, NULL);
    memory->disk = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory->disk == MAP_FAILED) {
        result = -errno;
        free(memory);
        return error_set(err, result, "%llu bytes of memory could not be mapped: %s",
                         (unsigned long long)size_bytes, strerror(-result));
    }
    /* It holds what clients stored: not for a core file. */
    madvise(memory->disk, size_bytes, MADV_DONTDUMP);

    memory->stage.ops = &memory_ops;
    memory->stage.limits = (struct limits){
        .size_bytes = size_bytes,
        .block_min_bytes = 1, /* anything goes; with a larger one the align layer is put on top */
        .block_preferred_bytes = 4096,
        .phase_bytes = 1,
        /* Only what is listed arrives in submit; the rest is refused or emulated above. */
        .ops = OP_BIT(REQUEST_READ) | OP_BIT(REQUEST_WRITE) | OP_BIT(REQUEST_FLUSH) |
               OP_BIT(REQUEST_TRIM) | OP_BIT(REQUEST_ZERO) | OP_BIT(REQUEST_CACHE),
        .fua = true,
        .read_only = settings->options.read_only,
        .multi_conn = true,
    };
    *out = &memory->stage;
    return 0;
}

static void memory_close(struct stage *stage)
{
    struct memory_stage *memory = container_of(stage, struct memory_stage, stage);

    munmap(memory->disk, stage->limits.size_bytes);
    free(memory);
}

/* ---- one worker ---- */

static int memory_attach(struct layer **out, struct stage *stage, struct layer *below,
                         struct loop *loop, struct error *err)
{
    struct memory_layer *memory = calloc(1, sizeof *memory);

    if (memory == NULL)
        return error_no_memory(err, NULL);
    memory->layer =
        (struct layer){ .ops = &memory_ops, .stage = stage, .below = below, .loop = loop };
    memory->disk = container_of(stage, struct memory_stage, stage)->disk;
    *out = &memory->layer;
    return 0;
}

static void memory_detach(struct layer *layer)
{
    free(container_of(layer, struct memory_layer, layer));
}

/* Zeroes a range; whole pages go back to the system and read as zeros again. */
static void discard(uint8_t *from, uint64_t length_bytes)
{
    uintptr_t page = 4096;
    uintptr_t start = ((uintptr_t)from + page - 1) / page * page;
    uintptr_t end = ((uintptr_t)from + length_bytes) / page * page;

    if (start >= end || madvise((void *)start, end - start, MADV_DONTNEED) != 0) {
        memset(from, 0, length_bytes);
        return;
    }
    memset(from, 0, start - (uintptr_t)from);
    memset((void *)end, 0, (uintptr_t)from + length_bytes - end);
}

/* layer_submit() has checked operation, range and alignment.  A backend that waits for
 * something keeps req->io or req->job in flight and completes from its event; see file.c. */
static void memory_submit(struct layer *layer, struct request *req)
{
    struct memory_layer *memory = container_of(layer, struct memory_layer, layer);
    struct view *view = &req->view;
    uint8_t *at = memory->disk + view->offset_bytes;

    switch (view->op) {
    case REQUEST_READ:
        memcpy(view->data, at, view->length_bytes);
        break;
    case REQUEST_WRITE:
        memcpy(at, view->data, view->length_bytes);
        break;
    case REQUEST_TRIM:
    case REQUEST_ZERO:
        discard(at, view->length_bytes);
        break;
    case REQUEST_FLUSH:
    case REQUEST_CACHE:
    case REQUEST_EXTENTS:
    case REQUEST_OP_COUNT:
        break;
    }
    request_complete(req, 0); /* 0, or a positive errno such as EIO */
}

const struct layer_ops memory_ops = {
    .name = "memory",
    .description = "memory:SIZE, a disk in memory, gone at the end",
    .open = memory_open,
    .attach = memory_attach,
    .submit = memory_submit,
    .detach = memory_detach,
    .close = memory_close,
};
