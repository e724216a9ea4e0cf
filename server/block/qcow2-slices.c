#include "server/block/qcow2-slices.h"

#include <stdlib.h>

#define SETS 64u
#define WAYS 4u

enum slice_state { SLICE_EMPTY, SLICE_LOADING, SLICE_READY };

struct slice {
    enum slice_state state;
    uint64_t host_bytes;
    uint64_t used; /* when it was, as a number that grows */
    struct qcow2_waiter *waiters;
    struct qcow2_slices *owner;
    struct request request;
};

struct qcow2_slices {
    struct layer *file;
    uint32_t slice_bytes;
    uint64_t clock;
    uint8_t *data; /* SETS * WAYS of them, whose pages the kernel makes when they are used */
    struct qcow2_waiter *waiters; /* for one of a set that is not being loaded */
    struct slice slices[SETS * WAYS];
};

/* The waiter's memory may be used for something else as soon as it was called. */
void qcow2_waiters_wake(struct qcow2_waiter **list, int error)
{
    struct qcow2_waiter *waiter = *list;

    *list = NULL;
    while (waiter != NULL) {
        struct qcow2_waiter *next = waiter->next;

        waiter->fn(waiter, error);
        waiter = next;
    }
}

int qcow2_slices_create(struct qcow2_slices **out, struct layer *file, uint32_t slice_bytes,
                        struct error *err)
{
    struct qcow2_slices *slices = calloc(1, sizeof *slices);
    void *data = NULL;

    if (slices == NULL || posix_memalign(&data, 4096, (size_t)SETS * WAYS * slice_bytes) != 0) {
        free(slices);
        return error_no_memory(err, "for a pipeline");
    }
    slices->file = file;
    slices->slice_bytes = slice_bytes;
    slices->data = data;
    *out = slices;
    return 0;
}

void qcow2_slices_destroy(struct qcow2_slices *slices)
{
    if (slices == NULL)
        return;
    free(slices->data);
    free(slices);
}

static struct slice *set_of(struct qcow2_slices *slices, uint64_t host_bytes)
{
    uint64_t number = host_bytes / slices->slice_bytes;

    return &slices->slices[(number ^ number >> 6 ^ number >> 12) % SETS * WAYS];
}

static uint8_t *data_of(const struct slice *slice)
{
    size_t index = (size_t)(slice - slice->owner->slices);

    return slice->owner->data + index * slice->owner->slice_bytes;
}

const uint8_t *qcow2_slices_find(struct qcow2_slices *slices, uint64_t host_bytes)
{
    struct slice *set = set_of(slices, host_bytes);

    for (unsigned i = 0; i < WAYS; i++)
        if (set[i].state == SLICE_READY && set[i].host_bytes == host_bytes) {
            set[i].used = ++slices->clock;
            return data_of(&set[i]);
        }
    return NULL;
}

static void slice_loaded(struct layer *owner, struct request *req)
{
    struct slice *slice = container_of(req, struct slice, request);

    (void)owner;
    slice->state = req->error == 0 ? SLICE_READY : SLICE_EMPTY;
    slice->used = ++slice->owner->clock;
    qcow2_waiters_wake(&slice->waiters, req->error);
    qcow2_waiters_wake(&slice->owner->waiters, 0);
}

/* The one that is being loaded; or that was used longest ago, and is not; NULL: all others are. */
static struct slice *choose(struct slice *set, uint64_t host_bytes)
{
    struct slice *chosen = NULL;

    for (unsigned i = 0; i < WAYS; i++) {
        if (set[i].state == SLICE_LOADING && set[i].host_bytes == host_bytes)
            return &set[i];
        if (set[i].state != SLICE_LOADING && (chosen == NULL || set[i].used < chosen->used))
            chosen = &set[i];
    }
    return chosen;
}

void qcow2_slices_load(struct qcow2_slices *slices, uint64_t host_bytes,
                       struct qcow2_waiter *waiter)
{
    struct slice *slice = choose(set_of(slices, host_bytes), host_bytes);
    struct qcow2_waiter **list = slice != NULL ? &slice->waiters : &slices->waiters;

    waiter->next = *list;
    *list = waiter;
    if (slice == NULL || slice->state == SLICE_LOADING)
        return;
    slice->state = SLICE_LOADING;
    slice->owner = slices;
    slice->host_bytes = host_bytes;
    slice->request = (struct request){
        .view = { .op = REQUEST_READ,
                  .offset_bytes = host_bytes,
                  .length_bytes = slices->slice_bytes,
                  .data = data_of(slice) },
    };
    request_push(&slice->request, NULL, slice_loaded);
    layer_submit(slices->file, &slice->request);
}
