/* One thread of a copy: see copy-worker.h.
 *
 *     take a piece -> read (one end or both) -> zeros?   -> write or ZERO -> done
 *                                            -> compare                   -> done
 */
#include "server/copy/copy-worker.h"

#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/threads.h"
#include "server/base/zeros.h"
#include "server/block/flusher.h"

struct slot {
    struct copy_worker *worker;
    unsigned number; /* in the queue */
    struct copy_range piece;
    struct buffer *buffers[COPY_ENDS];
    struct request requests[COPY_ENDS];
    unsigned pending;            /* reads */
    struct copy_failure failure; /* of one of them */
    struct slot *next_free;
};

struct copy_worker {
    struct copy_queue *queue;
    const struct copy_terms *terms;
    unsigned others;
    pthread_t thread;
    struct loop *loop;
    struct buffer_pool *pool;
    struct layer *layers[COPY_ENDS];
    struct flusher flusher; /* of the target */
    struct loop_task refill;
    struct slot slots[COPY_WORKER_SLOTS], *free;
    bool refilling;

    atomic_bool idle, wake_sent, flushing;
    atomic_int flush_error;
    struct loop_message wake, flush, end;
    struct request flush_request;
};

struct start {
    struct copy_worker *worker;
    sem_t done;
    int result;
    struct error *err;
};

/* ---- the ends ---- */

static const struct limits *limits_of(const struct copy_worker *worker, enum copy_end_index end)
{
    return &worker->terms->ends[end]->limits;
}

static uint8_t *data_of(const struct slot *slot, enum copy_end_index end,
                        enum copy_end_index buffer)
{
    uint32_t phase = limits_of(slot->worker, end)->phase_bytes;

    return slot->buffers[buffer]->base + offset_in_block(slot->piece.offset_bytes, phase);
}

/* The last block of a target may be larger than what the source has left. */
static uint64_t target_length(const struct slot *slot)
{
    const struct limits *limits = limits_of(slot->worker, COPY_TARGET);
    uint64_t block = limits->phase_bytes;
    uint64_t end_bytes = slot->piece.offset_bytes + slot->piece.length_bytes;

    end_bytes = (end_bytes + block - 1) / block * block;
    if (end_bytes > limits->size_bytes)
        end_bytes = limits->size_bytes;
    return end_bytes - slot->piece.offset_bytes;
}

static void submit(struct slot *slot, enum copy_end_index end, const struct view *view,
                   request_done_fn *done)
{
    struct request *req = &slot->requests[end];

    *req = (struct request){ .view = *view,
                             .buffer = slot->buffers[slot->worker->terms->compare ? end : 0] };
    request_push(req, NULL, done);
    layer_submit(slot->worker->layers[end], req);
}

/* ---- a piece ---- */

static void is_free(struct slot *slot)
{
    struct copy_worker *worker = slot->worker;

    slot->next_free = worker->free;
    worker->free = slot;
    if (!worker->refilling)
        loop_defer(worker->loop, &worker->refill);
}

static void did(struct slot *slot)
{
    copy_queue_did(slot->worker->queue, slot->number);
    is_free(slot);
}

static void failed(struct slot *slot, enum copy_end_index end, const char *verb, int error)
{
    const struct copy_failure failure = {
        .error = error, .end = end, .verb = verb, .offset_bytes = slot->piece.offset_bytes
    };

    copy_queue_fail(slot->worker->queue, &failure);
    is_free(slot);
}

static void written(struct layer *owner, struct request *req)
{
    struct slot *slot = container_of(req, struct slot, requests[COPY_TARGET]);
    struct copy_worker *worker = slot->worker;

    (void)owner;
    if (req->error == 0 && req->epoch != 0) {
        flusher_write_done(&worker->flusher, req->epoch);
        flusher_answers_leave(&worker->flusher);
    }
    if (req->error != 0)
        failed(slot, COPY_TARGET, "writing", req->error);
    else
        did(slot);
}

static void change(struct slot *slot, enum request_op op, uint32_t flags)
{
    const struct limits *limits = limits_of(slot->worker, COPY_TARGET);
    bool durable = !(limits->ops & OP_BIT(REQUEST_FLUSH)) && limits->fua;
    struct request *req = &slot->requests[COPY_TARGET];

    *req = (struct request){
        .flags = flags | (durable ? REQUEST_FUA : 0),
        .buffer = op == REQUEST_WRITE ? slot->buffers[0] : NULL,
        .flusher = &slot->worker->flusher,
        .view = { .op = op,
                  .offset_bytes = slot->piece.offset_bytes,
                  .length_bytes = target_length(slot) },
    };
    if (op == REQUEST_WRITE)
        req->view.data = data_of(slot, COPY_TARGET, 0);
    request_push(req, NULL, written);
    layer_submit(slot->worker->layers[COPY_TARGET], req);
}

static void write_zeros(struct slot *slot)
{
    switch (slot->worker->terms->zeros) {
    case COPY_ZEROS_SKIPPED:
        did(slot);
        return;
    case COPY_ZEROS_PUNCHED:
        change(slot, REQUEST_ZERO, REQUEST_MAY_TRIM);
        return;
    case COPY_ZEROS_WRITTEN:
        memset(data_of(slot, COPY_TARGET, 0), 0, target_length(slot));
        change(slot, REQUEST_WRITE, 0);
        return;
    }
}

static void source_read(struct layer *owner, struct request *req)
{
    struct slot *slot = container_of(req, struct slot, requests[COPY_SOURCE]);
    uint64_t length_bytes = slot->piece.length_bytes;
    uint8_t *data = req->view.data;

    (void)owner;
    if (req->error != 0) {
        failed(slot, COPY_SOURCE, "reading", req->error);
        return;
    }
    if (slot->worker->terms->zeros != COPY_ZEROS_WRITTEN && zeros_only(data, length_bytes)) {
        write_zeros(slot);
        return;
    }
    if (data != data_of(slot, COPY_TARGET, 0)) /* their blocks differ, in the middle of one */
        memmove(data_of(slot, COPY_TARGET, 0), data, length_bytes);
    memset(data_of(slot, COPY_TARGET, 0) + length_bytes, 0, target_length(slot) - length_bytes);
    change(slot, REQUEST_WRITE, 0);
}

/* ---- comparing ---- */

static uint64_t first_difference(const uint8_t *a, const uint8_t *b, uint64_t length_bytes)
{
    uint64_t at = 0;

    while (at < length_bytes && a[at] == (b != NULL ? b[at] : 0))
        at++;
    return at;
}

static void compare(struct slot *slot)
{
    static const enum copy_end_index other[] = { COPY_TARGET, COPY_SOURCE };
    enum copy_end_index one = slot->piece.zero[COPY_SOURCE] ? COPY_TARGET : COPY_SOURCE;
    bool alone = slot->piece.zero[other[one]];
    uint64_t length_bytes = slot->piece.length_bytes;
    const uint8_t *a = data_of(slot, one, one);
    const uint8_t *b = alone ? NULL : data_of(slot, other[one], other[one]);
    bool same = alone ? zeros_only(a, length_bytes) : memcmp(a, b, length_bytes) == 0;

    if (!same)
        copy_queue_differs(slot->worker->queue,
                           slot->piece.offset_bytes + first_difference(a, b, length_bytes));
    did(slot);
}

static void one_was_read(struct slot *slot, enum copy_end_index end)
{
    if (slot->requests[end].error != 0 && slot->failure.error == 0)
        slot->failure = (struct copy_failure){ .error = slot->requests[end].error, .end = end };
    if (--slot->pending > 0)
        return;
    if (slot->failure.error != 0)
        failed(slot, slot->failure.end, "reading", slot->failure.error);
    else
        compare(slot);
}

static void compared_source_read(struct layer *owner, struct request *req)
{
    (void)owner;
    one_was_read(container_of(req, struct slot, requests[COPY_SOURCE]), COPY_SOURCE);
}

static void compared_target_read(struct layer *owner, struct request *req)
{
    (void)owner;
    one_was_read(container_of(req, struct slot, requests[COPY_TARGET]), COPY_TARGET);
}

static void read_end(struct slot *slot, enum copy_end_index end, request_done_fn *done)
{
    const struct view view = { .op = REQUEST_READ,
                               .offset_bytes = slot->piece.offset_bytes,
                               .length_bytes = slot->piece.length_bytes,
                               .data = data_of(slot, end, slot->worker->terms->compare ? end : 0) };

    submit(slot, end, &view, done);
}

static void read_both(struct slot *slot)
{
    bool zero[COPY_ENDS] = { slot->piece.zero[0], slot->piece.zero[1] };

    slot->failure = (struct copy_failure){ 0 };
    slot->pending = (unsigned)!zero[COPY_SOURCE] + (unsigned)!zero[COPY_TARGET];
    if (slot->pending == 0) {
        did(slot);
        return;
    }
    if (!zero[COPY_SOURCE])
        read_end(slot, COPY_SOURCE, compared_source_read);
    if (!zero[COPY_TARGET])
        read_end(slot, COPY_TARGET, compared_target_read);
}

/* ---- the thread ---- */

static void begin(struct slot *slot)
{
    if (slot->worker->terms->compare)
        read_both(slot);
    else if (slot->piece.zero[COPY_SOURCE])
        write_zeros(slot);
    else
        read_end(slot, COPY_SOURCE, source_read);
}

/* False: there is nothing to do at present. */
static bool begin_some(struct copy_worker *worker)
{
    for (unsigned i = 0; i < COPY_WORKER_SLOTS && worker->free != NULL; i++) {
        struct slot *slot = worker->free;

        if (!copy_queue_take(worker->queue, slot->number, &slot->piece))
            return false;
        worker->free = slot->next_free;
        begin(slot);
    }
    return true;
}

static void wake_later(struct copy_worker *worker)
{
    if (!atomic_exchange(&worker->wake_sent, true))
        loop_post(worker->loop, &worker->wake);
}

/* Pieces may be done before begin() returns, all with the same buffer: then messages have their
 * turn before it goes on. */
static void refill(struct loop_task *task)
{
    struct copy_worker *worker = container_of(task, struct copy_worker, refill);

    atomic_store(&worker->idle, true); /* before it looks: who puts something in afterwards wakes */
    worker->refilling = true;
    bool busy = begin_some(worker);
    worker->refilling = false;
    if (!busy)
        return;
    atomic_store(&worker->idle, false);
    if (worker->free != NULL)
        wake_later(worker);
}

static void woken(struct io_event *ev, int result)
{
    struct copy_worker *worker = container_of(ev, struct copy_worker, wake.event);

    (void)result;
    atomic_store(&worker->wake_sent, false);
    loop_defer(worker->loop, &worker->refill);
}

static void flushed(struct layer *owner, struct request *req)
{
    struct copy_worker *worker = container_of(req, struct copy_worker, flush_request);

    (void)owner;
    atomic_store(&worker->flush_error, req->error);
    atomic_store(&worker->flushing, false);
    copy_queue_wake(worker->queue);
}

static void flush_here(struct io_event *ev, int result)
{
    struct copy_worker *worker = container_of(ev, struct copy_worker, flush.event);
    struct request *req = &worker->flush_request;

    (void)result;
    *req = (struct request){ .view = { .op = REQUEST_FLUSH }, .flusher = &worker->flusher };
    request_push(req, NULL, flushed);
    if (limits_of(worker, COPY_TARGET)->ops & OP_BIT(REQUEST_FLUSH))
        layer_submit(worker->layers[COPY_TARGET], req);
    else
        request_complete(req, 0); /* each write was durable, if it could be */
}

static void end_here(struct io_event *ev, int result)
{
    (void)result;
    loop_stop(container_of(ev, struct copy_worker, end.event)->loop);
}

static int take_buffers(struct copy_worker *worker, struct error *err)
{
    unsigned each = worker->terms->compare ? COPY_ENDS : 1;
    size_t bytes = (size_t)COPY_WORKER_SLOTS * each * COPY_PIECE_BYTES;
    int result = buffer_pool_create(&worker->pool, worker->loop, bytes, bytes * 2, err);

    for (unsigned i = 0; i < COPY_WORKER_SLOTS && result == 0; i++)
        for (unsigned end = 0; end < each && result == 0; end++) {
            struct buffer *buffer = buffer_acquire(worker->pool, COPY_PIECE_BYTES, 0);

            worker->slots[i].buffers[end] = buffer;
            if (buffer == NULL)
                result = error_no_memory(err, "for a copy");
        }
    return result;
}

static int set_up(struct copy_worker *worker, struct error *err)
{
    struct loop_config config = {
        .entries = 256, .others = worker->others, .file_slots = 8, .memory_slots = 16
    };
    int result = loop_create(&worker->loop, &config, err);

    if (result == 0)
        result = take_buffers(worker, err);
    for (unsigned end = 0; end < COPY_ENDS && result == 0; end++)
        result = stage_attach(&worker->layers[end], worker->terms->ends[end], worker->loop, err);
    if (result == 0)
        flusher_begin(&worker->flusher, worker->layers[COPY_TARGET]);
    return result;
}

static void tear_down(struct copy_worker *worker, bool in_good_order)
{
    if (in_good_order)
        flusher_end(&worker->flusher, true);
    for (unsigned end = 0; end < COPY_ENDS; end++)
        layer_detach(worker->layers[end]);
    for (unsigned i = 0; i < COPY_WORKER_SLOTS; i++)
        for (unsigned end = 0; end < COPY_ENDS; end++)
            if (worker->slots[i].buffers[end] != NULL)
                buffer_release(worker->pool, worker->slots[i].buffers[end]);
    if (worker->pool != NULL)
        buffer_pool_destroy(worker->pool);
}

static void *run(void *context)
{
    struct start *start = context;
    struct copy_worker *worker = start->worker;

    thread_begin("nbdcrypt-copy");
    int result = set_up(worker, start->err);
    start->result = result;
    sem_post(&start->done); /* `start` is gone from here on */
    if (result == 0)
        loop_run(worker->loop);
    tear_down(worker, result == 0);
    return NULL;
}

static void init(struct copy_worker *worker, unsigned first_slot)
{
    for (unsigned i = 0; i < COPY_WORKER_SLOTS; i++) {
        struct slot *slot = &worker->slots[i];

        slot->worker = worker;
        slot->number = first_slot + i;
        slot->next_free = worker->free;
        worker->free = slot;
    }
    worker->refill.fn = refill;
    worker->wake.event.fn = woken;
    worker->flush.event.fn = flush_here;
    worker->end.event.fn = end_here;
    atomic_store(&worker->idle, true);
}

static int start_thread(struct copy_worker *worker, struct error *err)
{
    struct start start = { .worker = worker, .err = err };
    sigset_t before;

    sem_init(&start.done, 0, 0);
    thread_block_signals(&before);
    int result = -pthread_create(&worker->thread, NULL, run, &start);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (result < 0) {
        (void)error_set(err, result, "a thread could not be started: %s", strerror(-result));
    } else {
        while (sem_wait(&start.done) != 0)
            ;
        result = start.result;
        if (result < 0)
            pthread_join(worker->thread, NULL);
    }
    sem_destroy(&start.done);
    return result;
}

int copy_worker_create(struct copy_worker **out, struct copy_queue *queue,
                       const struct copy_terms *terms, unsigned first_slot, unsigned others,
                       struct error *err)
{
    struct copy_worker *worker = calloc(1, sizeof *worker);

    if (worker == NULL)
        return error_no_memory(err, "for a copy");
    worker->queue = queue;
    worker->terms = terms;
    worker->others = others;
    init(worker, first_slot);
    int result = start_thread(worker, err);
    if (result < 0) {
        loop_destroy(worker->loop);
        free(worker);
        return result;
    }
    *out = worker;
    return 0;
}

void copy_worker_wake(struct copy_worker *worker)
{
    if (atomic_load(&worker->idle))
        wake_later(worker);
}

void copy_worker_flush(struct copy_worker *worker)
{
    atomic_store(&worker->flushing, true);
    loop_post(worker->loop, &worker->flush);
}

bool copy_worker_is_flushing(const struct copy_worker *worker, int *error)
{
    *error = atomic_load(&worker->flush_error);
    return atomic_load(&worker->flushing);
}

void copy_worker_destroy(struct copy_worker *worker)
{
    loop_post(worker->loop, &worker->end);
    pthread_join(worker->thread, NULL);
    loop_destroy(worker->loop);
    free(worker);
}
