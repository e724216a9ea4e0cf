#include "server/serve/worker-round.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

struct worker_round *worker_round_create(unsigned worker_count)
{
    struct worker_round *round = calloc(1, sizeof *round + worker_count * sizeof *round->parts);

    if (round == NULL)
        return NULL;
    round->worker_count = worker_count;
    atomic_init(&round->pending, worker_count);
    sem_init(&round->answered, 0, 0);
    for (unsigned i = 0; i < worker_count; i++)
        round->parts[i].round = round;
    return round;
}

void worker_round_free(struct worker_round *round)
{
    sem_destroy(&round->answered);
    free(round);
}

/* A worker's thread. */
static void answer(struct worker_round *round)
{
    sem_t *wake = round->wake;

    if (atomic_fetch_sub(&round->pending, 1) != 1)
        return;
    sem_post(&round->answered); /* it may be gone from here on */
    if (wake != NULL)
        sem_post(wake);
}

static void uses(struct worker_use *use)
{
    answer(container_of(use, struct worker_part, use)->round);
}

static void counted(struct worker_count *count)
{
    answer(container_of(count, struct worker_part, count)->round);
}

static void suspended(struct worker_suspend *suspend)
{
    answer(container_of(suspend, struct worker_part, suspend)->round);
}

void worker_round_suspend(struct worker_round *round, struct worker_thread **workers,
                          struct export *export, bool resume)
{
    atomic_store(&round->pending, round->worker_count);
    for (unsigned i = 0; i < round->worker_count; i++) {
        struct worker_suspend *suspend = &round->parts[i].suspend;

        *suspend = (struct worker_suspend){ .export = export, .done = suspended };
        (resume ? worker_resume_export : worker_suspend_export)(&workers[i]->worker, suspend);
    }
}

int worker_round_code(const struct worker_round *round)
{
    int code = 0;

    for (unsigned i = 0; code == 0 && i < round->worker_count; i++)
        code = round->parts[i].suspend.code;
    return code;
}

unsigned worker_round_left(const struct worker_round *round)
{
    unsigned left = 0;

    for (unsigned i = 0; i < round->worker_count; i++)
        left += round->parts[i].suspend.left;
    return left;
}

void worker_round_use(struct worker_round *round, struct worker_thread **workers,
                      const struct export_set *set, const struct worker_terms *terms)
{
    for (unsigned i = 0; i < round->worker_count; i++) {
        round->parts[i].use = (struct worker_use){ .set = set, .terms = terms, .done = uses };
        worker_use_exports(&workers[i]->worker, &round->parts[i].use);
    }
}

void worker_round_count(struct worker_round *round, struct worker_thread **workers,
                        const struct export *export)
{
    for (unsigned i = 0; i < round->worker_count; i++) {
        round->parts[i].count = (struct worker_count){ .export = export, .done = counted };
        worker_count_clients(&workers[i]->worker, &round->parts[i].count);
    }
}

bool worker_round_wait(struct worker_round *round, unsigned timeout_ms)
{
    struct timespec until;
    int result;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    do
        result = sem_clockwait(&round->answered, CLOCK_MONOTONIC, &until);
    while (result != 0 && errno == EINTR);
    return result == 0 &&
           atomic_load(&round->pending) == 0; /* which orders their answers before us */
}

unsigned worker_round_clients(const struct worker_round *round)
{
    unsigned clients = 0;

    for (unsigned i = 0; i < round->worker_count; i++)
        clients += round->parts[i].count.clients;
    return clients;
}
