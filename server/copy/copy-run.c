#include "server/copy/copy-run.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/base/cpu-count.h"
#include "server/copy/copy-ranges.h"

#define THREADS_MAX 8u
#define RANGE_BYTES_MAX (64u * 1024u * 1024u)
#define ZEROS_BYTES_MAX REQUEST_BYTES_MAX
#define LOOK_MS 200u
#define NS_A_SECOND UINT64_C(1000000000)
#define CHECKPOINT_SECONDS_MAX 10u

struct run {
    const struct copy_job *job;
    struct copy_queue *queue;
    struct copy_ranges *ranges;
    struct copy_worker *workers[THREADS_MAX];
    unsigned worker_count;
    uint64_t checkpoint_ns;      /* when the next one is due */
    unsigned checkpoint_seconds; /* until the one after that */
    uint64_t paid_ns;            /* the moment at which all that was given out is paid for */
    bool interrupted;
    int result; /* of a checkpoint */
    struct error *err;
};

/* ---- signals ---- */

static volatile sig_atomic_t signal_came;

static void note_signal(int number)
{
    signal_came = number;
}

void copy_run_watch_signals(void)
{
    static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
    struct sigaction action = { .sa_handler = note_signal, .sa_flags = (int)SA_RESETHAND };

    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct sigaction before;

        if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            (void)sigaction(numbers[i], &action, NULL);
    }
}

/* ---- what is looked after while the threads work ---- */

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_A_SECOND + (uint64_t)now.tv_nsec;
}

/* 0 or a positive errno. */
static int flush(struct run *run)
{
    int error = 0;

    for (unsigned i = 0; i < run->worker_count; i++)
        copy_worker_flush(run->workers[i]);
    for (unsigned i = 0; i < run->worker_count; i++) {
        int one;

        while (copy_worker_is_flushing(run->workers[i], &one))
            copy_queue_wait(run->queue, LOOK_MS);
        if (error == 0)
            error = one;
    }
    return error;
}

static int make_durable(struct run *run, uint64_t low_bytes)
{
    const struct copy_job *job = run->job;
    int error = flush(run);

    if (error != 0)
        return error_set(run->err, -error, "'%s': flushing failed: %s", job->names[COPY_TARGET],
                         strerror(error));
    return job->checkpoint != NULL ? job->checkpoint(job->context, low_bytes, run->err) : 0;
}

/* They get rarer: what a short copy loses is little, and each makes a long one wait. */
static void look_at_checkpoint(struct run *run)
{
    if (run->job->checkpoint == NULL || run->result < 0 || now_ns() < run->checkpoint_ns)
        return;
    run->result = make_durable(run, copy_queue_low_bytes(run->queue));
    if (run->result < 0)
        copy_queue_stop(run->queue);
    run->checkpoint_ns = now_ns() + run->checkpoint_seconds * NS_A_SECOND;
    if (run->checkpoint_seconds < CHECKPOINT_SECONDS_MAX)
        run->checkpoint_seconds *= 2;
}

static void look_after(struct run *run)
{
    if (signal_came != 0 && !run->interrupted) {
        run->interrupted = true;
        copy_queue_stop(run->queue);
    }
    if (run->job->progress != NULL)
        copy_progress_tell(run->job->progress,
                           run->job->start_bytes + copy_queue_done_bytes(run->queue), false);
    look_at_checkpoint(run);
}

/* ---- what is given out ---- */

static uint64_t range_bytes_max(const struct run *run)
{
    uint64_t slice = run->job->bandwidth_bytes / 8 / COPY_PIECE_BYTES * COPY_PIECE_BYTES;

    if (run->job->bandwidth_bytes == 0 || slice > RANGE_BYTES_MAX)
        return RANGE_BYTES_MAX;
    return slice > 0 ? slice : COPY_PIECE_BYTES;
}

/* Who was held up does not run to catch up. */
static void pay(struct run *run, const struct copy_range *range)
{
    uint64_t bandwidth = run->job->bandwidth_bytes, now = now_ns();

    if (bandwidth == 0 || !copy_ranges_moves(run->ranges, range))
        return;
    if (run->paid_ns < now)
        run->paid_ns = now;
    run->paid_ns += (uint64_t)((double)range->length_bytes / (double)bandwidth * 1e9);
}

static void wait_for_bandwidth(struct run *run)
{
    uint64_t now = now_ns();

    while (run->paid_ns > now && !copy_queue_is_stopped(run->queue)) {
        uint64_t wait_ms = (run->paid_ns - now) / 1000000 + 1;

        copy_queue_wait(run->queue, wait_ms < LOOK_MS ? (unsigned)wait_ms : LOOK_MS);
        look_after(run);
        now = now_ns();
    }
}

static void wake_workers(struct run *run)
{
    for (unsigned i = 0; i < run->worker_count; i++)
        copy_worker_wake(run->workers[i]);
}

static void give_out(struct run *run)
{
    uint64_t max_bytes = range_bytes_max(run);
    struct copy_range range;

    while (!copy_queue_is_stopped(run->queue) && copy_ranges_next(run->ranges, max_bytes, &range)) {
        wait_for_bandwidth(run);
        while (!copy_queue_is_stopped(run->queue) && !copy_queue_put(run->queue, &range)) {
            copy_queue_wait(run->queue, LOOK_MS);
            look_after(run);
        }
        pay(run, &range);
        wake_workers(run);
        look_after(run);
    }
    copy_queue_end(run->queue);
    while (!copy_queue_is_done(run->queue)) {
        wake_workers(run);
        copy_queue_wait(run->queue, LOOK_MS);
        look_after(run);
    }
}

/* ---- the whole ---- */

static uint64_t zeros_bytes_max(const struct copy_terms *terms)
{
    return !terms->compare && terms->zeros == COPY_ZEROS_WRITTEN ? COPY_PIECE_BYTES
                                                                 : ZEROS_BYTES_MAX;
}

static int start_workers(struct run *run)
{
    const struct copy_terms *terms = &run->job->terms;
    unsigned count = cpu_count();

    if (count > THREADS_MAX)
        count = THREADS_MAX;
    int result = copy_queue_create(&run->queue, count * COPY_WORKER_SLOTS, zeros_bytes_max(terms),
                                   run->job->start_bytes, run->err);
    while (result == 0 && run->worker_count < count) {
        unsigned i = run->worker_count;

        result = copy_worker_create(&run->workers[i], run->queue, terms, i * COPY_WORKER_SLOTS,
                                    count - 1, run->err);
        if (result == 0)
            run->worker_count++;
    }
    return result;
}

static void stop_workers(struct run *run)
{
    for (unsigned i = 0; i < run->worker_count; i++)
        copy_worker_destroy(run->workers[i]);
    copy_queue_destroy(run->queue);
}

static int tell_failure(const struct run *run, const struct copy_failure *failure)
{
    return error_set(run->err, -failure->error, "'%s': %s at byte %" PRIu64 " failed: %s",
                     run->job->names[failure->end], failure->verb, failure->offset_bytes,
                     strerror(failure->error));
}

/* What was done before something failed is kept, as far as it is durable. */
static int finish(struct copy_result *out, struct run *run)
{
    struct copy_failure failure = copy_queue_failure(run->queue);

    out->interrupted = run->interrupted;
    out->low_bytes = copy_queue_low_bytes(run->queue);
    out->difference_bytes = copy_queue_difference(run->queue);
    if (run->result < 0)
        return run->result;
    if (!run->job->terms.compare)
        run->result = make_durable(run, out->low_bytes);
    if (failure.error != 0)
        return tell_failure(run, &failure);
    return run->result;
}

int copy_run(struct copy_result *out, const struct copy_job *job, struct error *err)
{
    struct run run = { .job = job, .checkpoint_seconds = 1, .err = err };

    *out = (struct copy_result){ .low_bytes = job->start_bytes, .difference_bytes = UINT64_MAX };
    run.checkpoint_ns = now_ns() + NS_A_SECOND / 2;
    int result = start_workers(&run);
    if (result == 0)
        result =
            copy_ranges_create(&run.ranges, &job->terms, job->start_bytes, job->end_bytes, err);
    if (result == 0) {
        give_out(&run);
        result = finish(out, &run);
    }
    copy_ranges_destroy(run.ranges);
    stop_workers(&run);
    return result;
}
