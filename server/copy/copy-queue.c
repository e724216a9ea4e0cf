#include "server/copy/copy-queue.h"

#include <stdlib.h>
#include <time.h>

#define RANGES 64u
#define NO_OFFSET UINT64_MAX

/* All under the mutex, which is held for some instructions. */
struct copy_queue {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct copy_range ranges[RANGES];
    unsigned first, count;
    uint64_t fed_bytes; /* where the next range begins */
    uint64_t done_bytes;
    uint64_t zeros_max_bytes;
    uint64_t difference_bytes;
    struct copy_failure failure;
    bool ended, stopped;
    unsigned out, slots;
    uint64_t changes, seen; /* what `changed` has told of, and who waits has seen */
    struct out {
        uint64_t offset_bytes; /* NO_OFFSET: there is none */
        uint64_t length_bytes;
    } pieces[]; /* by slots */
};

int copy_queue_create(struct copy_queue **out, unsigned slots, uint64_t zeros_max_bytes,
                      uint64_t start_bytes, struct error *err)
{
    struct copy_queue *queue = calloc(1, sizeof *queue + slots * sizeof queue->pieces[0]);

    if (queue == NULL)
        return error_no_memory(err, "for a copy");
    pthread_mutex_init(&queue->mutex, NULL);
    pthread_cond_init(&queue->changed, NULL);
    queue->fed_bytes = start_bytes;
    queue->zeros_max_bytes = zeros_max_bytes;
    queue->difference_bytes = NO_OFFSET;
    queue->slots = slots;
    for (unsigned i = 0; i < slots; i++)
        queue->pieces[i].offset_bytes = NO_OFFSET;
    *out = queue;
    return 0;
}

void copy_queue_destroy(struct copy_queue *queue)
{
    if (queue == NULL)
        return;
    pthread_cond_destroy(&queue->changed);
    pthread_mutex_destroy(&queue->mutex);
    free(queue);
}

static void tell(struct copy_queue *queue)
{
    queue->changes++;
    pthread_cond_broadcast(&queue->changed);
}

/* ---- who feeds it ---- */

bool copy_queue_put(struct copy_queue *queue, const struct copy_range *range)
{
    pthread_mutex_lock(&queue->mutex);
    bool room = queue->count < RANGES;
    if (room) {
        queue->ranges[(queue->first + queue->count++) % RANGES] = *range;
        queue->fed_bytes = range->offset_bytes + range->length_bytes;
    }
    pthread_mutex_unlock(&queue->mutex);
    return room;
}

void copy_queue_end(struct copy_queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    queue->ended = true;
    pthread_mutex_unlock(&queue->mutex);
}

void copy_queue_stop(struct copy_queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    queue->stopped = true;
    pthread_mutex_unlock(&queue->mutex);
}

void copy_queue_wait(struct copy_queue *queue, unsigned timeout_ms)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    until.tv_sec += timeout_ms / 1000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&queue->mutex);
    if (queue->changes == queue->seen)
        (void)pthread_cond_clockwait(&queue->changed, &queue->mutex, CLOCK_MONOTONIC, &until);
    queue->seen = queue->changes;
    pthread_mutex_unlock(&queue->mutex);
}

bool copy_queue_is_done(struct copy_queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    bool done = queue->out == 0 && (queue->stopped || (queue->ended && queue->count == 0));
    pthread_mutex_unlock(&queue->mutex);
    return done;
}

bool copy_queue_is_stopped(struct copy_queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    bool stopped = queue->stopped;
    pthread_mutex_unlock(&queue->mutex);
    return stopped;
}

uint64_t copy_queue_low_bytes(struct copy_queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    uint64_t low = queue->count > 0 ? queue->ranges[queue->first].offset_bytes : queue->fed_bytes;
    for (unsigned i = 0; i < queue->slots; i++)
        if (queue->pieces[i].offset_bytes < low)
            low = queue->pieces[i].offset_bytes;
    pthread_mutex_unlock(&queue->mutex);
    return low;
}

uint64_t copy_queue_done_bytes(struct copy_queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    uint64_t done_bytes = queue->done_bytes;
    pthread_mutex_unlock(&queue->mutex);
    return done_bytes;
}

struct copy_failure copy_queue_failure(struct copy_queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    struct copy_failure failure = queue->failure;
    pthread_mutex_unlock(&queue->mutex);
    return failure;
}

uint64_t copy_queue_difference(struct copy_queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    uint64_t difference_bytes = queue->difference_bytes;
    pthread_mutex_unlock(&queue->mutex);
    return difference_bytes;
}

/* ---- who does it ---- */

static uint64_t piece_length(const struct copy_queue *queue, const struct copy_range *range)
{
    bool nothing_to_read = range->zero[COPY_SOURCE] && range->zero[COPY_TARGET];
    uint64_t max = nothing_to_read ? queue->zeros_max_bytes : COPY_PIECE_BYTES;
    uint64_t to_grid = max - range->offset_bytes % max;

    return range->length_bytes < to_grid ? range->length_bytes : to_grid;
}

bool copy_queue_take(struct copy_queue *queue, unsigned slot, struct copy_range *piece)
{
    pthread_mutex_lock(&queue->mutex);
    bool found = queue->count > 0 && !queue->stopped;
    if (found) {
        struct copy_range *range = &queue->ranges[queue->first];

        *piece = *range;
        piece->length_bytes = piece_length(queue, range);
        range->offset_bytes += piece->length_bytes;
        range->length_bytes -= piece->length_bytes;
        if (range->length_bytes == 0) {
            queue->first = (queue->first + 1) % RANGES;
            queue->count--;
            tell(queue);
        }
        queue->pieces[slot] = (struct out){ piece->offset_bytes, piece->length_bytes };
        queue->out++;
    }
    pthread_mutex_unlock(&queue->mutex);
    return found;
}

static void has_come_back(struct copy_queue *queue)
{
    queue->out--;
    if (queue->out == 0 && (queue->stopped || queue->count == 0))
        tell(queue);
}

void copy_queue_did(struct copy_queue *queue, unsigned slot)
{
    pthread_mutex_lock(&queue->mutex);
    queue->done_bytes += queue->pieces[slot].length_bytes;
    queue->pieces[slot].offset_bytes = NO_OFFSET;
    has_come_back(queue);
    pthread_mutex_unlock(&queue->mutex);
}

/* Its offset stays: nothing from there on counts as done. */
void copy_queue_fail(struct copy_queue *queue, const struct copy_failure *failure)
{
    pthread_mutex_lock(&queue->mutex);
    if (queue->failure.error == 0)
        queue->failure = *failure;
    queue->stopped = true;
    has_come_back(queue);
    pthread_mutex_unlock(&queue->mutex);
}

/* All that lies before it is out already. */
void copy_queue_differs(struct copy_queue *queue, uint64_t offset_bytes)
{
    pthread_mutex_lock(&queue->mutex);
    if (offset_bytes < queue->difference_bytes)
        queue->difference_bytes = offset_bytes;
    queue->stopped = true;
    pthread_mutex_unlock(&queue->mutex);
}

void copy_queue_wake(struct copy_queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    tell(queue);
    pthread_mutex_unlock(&queue->mutex);
}
