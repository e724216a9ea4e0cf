/* The pool of threads for blocking work, with real loops. */
#include "server/loop/offload.h"

#include <pthread.h>
#include <semaphore.h>

#include "tests/support/check.h"

#define THREADS 4u
#define SHORT_JOBS 20000u
#define LOOPS 2u
#define IN_FLIGHT 16u

struct test_job {
    struct offload_job job;
    struct asker *asker;
    sem_t *started, *go_on;
};

/* A loop on its thread, with jobs that are given again as often as they come back. */
struct asker {
    struct loop *loop;
    struct offload *offload;
    pthread_t thread;
    struct test_job jobs[IN_FLIGHT];
    unsigned given, returned;
};

static struct loop *new_loop(void)
{
    struct loop_config config = { .entries = 8, .busy_wait_us = 50 };
    struct loop *loop;
    struct error err;

    EXPECT(loop_create(&loop, &config, &err) == 0);
    return loop;
}

static struct offload *new_offload(unsigned threads)
{
    struct offload *offload;
    struct error err;

    EXPECT(offload_create(&offload, threads, 0, &err) == 0);
    return offload;
}

static void short_work(struct offload_job *job)
{
    job->done.result = 7;
}

static void give(struct asker *asker, struct test_job *job)
{
    asker->given++;
    job->job.loop = asker->loop;
    offload_run(asker->offload, &job->job);
}

static void short_job_returned(struct io_event *ev, int result)
{
    struct test_job *job = container_of(ev, struct test_job, job.done.event);
    struct asker *asker = job->asker;

    EXPECT(result == 7);
    if (asker->given < SHORT_JOBS)
        give(asker, job);
    if (++asker->returned == SHORT_JOBS)
        loop_stop(asker->loop);
}

static void *ask(void *context)
{
    struct asker *asker = context;

    asker->loop = new_loop();
    for (unsigned i = 0; i < IN_FLIGHT; i++) {
        asker->jobs[i].asker = asker;
        asker->jobs[i].job.work = short_work;
        asker->jobs[i].job.done.event.fn = short_job_returned;
        give(asker, &asker->jobs[i]);
    }
    loop_run(asker->loop);
    loop_destroy(asker->loop);
    return NULL;
}

static void every_short_job_comes_back_to_its_loop(void)
{
    static struct asker askers[LOOPS];
    struct offload *offload = new_offload(THREADS);

    for (unsigned i = 0; i < LOOPS; i++) {
        askers[i].offload = offload;
        EXPECT(pthread_create(&askers[i].thread, NULL, ask, &askers[i]) == 0);
    }
    for (unsigned i = 0; i < LOOPS; i++) {
        EXPECT(pthread_join(askers[i].thread, NULL) == 0);
        EXPECT(askers[i].returned == SHORT_JOBS && askers[i].given == SHORT_JOBS);
    }
    offload_destroy(offload);
}

static void blocking_work(struct offload_job *job)
{
    struct test_job *test = container_of(job, struct test_job, job);

    sem_post(test->started);
    while (sem_wait(test->go_on) != 0)
        continue;
    job->done.result = 7;
}

static void blocking_job_returned(struct io_event *ev, int result)
{
    struct test_job *job = container_of(ev, struct test_job, job.done.event);

    EXPECT(result == 7);
    if (++job->asker->returned == THREADS)
        loop_stop(job->asker->loop);
}

/* They are given in one batch, of which only the first wakes a thread. */
static void jobs_that_block_are_all_at_work(void)
{
    static struct asker asker;
    sem_t started, go_on;

    sem_init(&started, 0, 0);
    sem_init(&go_on, 0, 0);
    asker.offload = new_offload(THREADS);
    asker.loop = new_loop();
    for (unsigned i = 0; i < THREADS; i++) {
        asker.jobs[i] = (struct test_job){ .asker = &asker, .started = &started, .go_on = &go_on };
        asker.jobs[i].job.work = blocking_work;
        asker.jobs[i].job.done.event.fn = blocking_job_returned;
        give(&asker, &asker.jobs[i]);
    }
    for (unsigned i = 0; i < THREADS; i++)
        while (sem_wait(&started) != 0)
            continue;
    for (unsigned i = 0; i < THREADS; i++)
        sem_post(&go_on);
    loop_run(asker.loop);
    EXPECT(asker.returned == THREADS);
    offload_destroy(asker.offload);
    loop_destroy(asker.loop);
}

static const struct check checks[] = {
    { "jobs that block are all at work at once", jobs_that_block_are_all_at_work },
    { "every short job comes back to the loop that asked", every_short_job_comes_back_to_its_loop },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
