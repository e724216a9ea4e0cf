#include "tests/support/fake-backend.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static void answer_extents(const struct fake_backend *fake, struct request *req)
{
    struct extent_list *list = (struct extent_list *)(void *)req->view.data;
    uint64_t at = req->view.offset_bytes;
    uint64_t end = at + req->view.length_bytes;
    uint32_t size = fake->extent_bytes;

    while (at < end) {
        uint64_t next = (at / size + 1) * size < end ? (at / size + 1) * size : end;

        uint32_t flags = at / size % 2 ? EXTENT_HOLE | EXTENT_ZERO : 0;

        if (!extent_list_add(list, next - at, flags + req->context * FAKE_CONTEXT_FLAGS) ||
            list->count == fake->extents_max)
            return;
        at = next;
    }
}

static void carry_out(struct fake_backend *fake, struct request *req)
{
    uint8_t *at = fake->disk + req->view.offset_bytes;

    switch (req->view.op) {
    case REQUEST_READ:
        memcpy(req->view.data, at, req->view.length_bytes);
        break;
    case REQUEST_WRITE:
        memcpy(at, req->view.data, req->view.length_bytes);
        break;
    case REQUEST_TRIM:
    case REQUEST_ZERO:
        memset(at, 0, req->view.length_bytes);
        break;
    case REQUEST_EXTENTS:
        answer_extents(fake, req);
        break;
    case REQUEST_FLUSH:
    case REQUEST_CACHE:
    case REQUEST_OP_COUNT:
        break;
    }
}

static void finish(struct fake_backend *fake, struct request *req)
{
    if (req->progress_bytes == fake->fail_at && fake->fail_at > 0) {
        request_complete(req, fake->fail_error);
        return;
    }
    carry_out(fake, req);
    request_complete(req, 0);
}

static void fake_submit(struct layer *layer, struct request *req)
{
    struct fake_backend *fake = container_of(layer, struct fake_backend, layer);

    req->progress_bytes = ++fake->seen; /* a backend's own field: its number */
    if (!fake->hold) {
        finish(fake, req);
        return;
    }
    assert(fake->held_count < FAKE_BACKEND_HELD_MAX);
    fake->held[fake->held_count++] = req;
}

void fake_backend_release(struct fake_backend *fake, unsigned index)
{
    struct request *req = fake->held[index];

    assert(index < fake->held_count);
    fake->held_count--;
    memmove(&fake->held[index], &fake->held[index + 1],
            (fake->held_count - index) * sizeof fake->held[0]);
    finish(fake, req);
}

void fake_backend_release_all(struct fake_backend *fake)
{
    while (fake->held_count > 0)
        fake_backend_release(fake, 0);
    fake->hold = false;
}

static int fake_attach(struct layer **out, struct stage *stage, struct layer *below,
                       struct loop *loop, struct error *err)
{
    struct fake_backend *fake = container_of(stage, struct fake_backend, stage);

    (void)err;
    fake->layer = (struct layer){ .ops = stage->ops, .stage = stage, .below = below, .loop = loop };
    *out = &fake->layer;
    return 0;
}

static void fake_detach(struct layer *layer)
{
    (void)layer;
}

static void fake_close(struct stage *stage)
{
    munmap(container_of(stage, struct fake_backend, stage)->disk, stage->limits.size_bytes);
}

static const struct layer_ops fake_ops = {
    .name = "fake",
    .attach = fake_attach,
    .submit = fake_submit,
    .detach = fake_detach,
    .close = fake_close,
};

void fake_backend_init(struct fake_backend *fake, uint64_t size_bytes, uint32_t block_min_bytes,
                       int image_fd)
{
    int flags = image_fd >= 0 ? MAP_PRIVATE : MAP_PRIVATE | MAP_ANONYMOUS;

    *fake = (struct fake_backend){
        .stage = { .ops = &fake_ops,
                   .limits = { .size_bytes = size_bytes,
                               .block_min_bytes = block_min_bytes,
                               .block_preferred_bytes = 4096,
                               .phase_bytes = 1,
                               .ops = OP_BIT(REQUEST_OP_COUNT) - 1,
                               .fua = true,
                               .multi_conn = true } },
        .disk = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, flags, image_fd, 0),
        .fail_error = 5, /* EIO */
        .extent_bytes = 65536,
    };
    assert(fake->disk != MAP_FAILED);
}
