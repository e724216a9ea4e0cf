#include "server/loop/offload.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "server/base/threads.h"

/* A thread that is awake takes job after job; how many are awake follows from how fast the queue
 * empties.  One is woken at a time: it wakes the next when it still finds a job to take, so
 * that a batch of short jobs costs one wake-up and long ones are all at work soon. */
struct offload {
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    struct offload_job *jobs, **jobs_end;
    unsigned idle_count; /* threads that wait */
    bool waking;         /* one of them was woken and has not looked yet */
    bool stopping;
    int nice;
    unsigned thread_count;
    pthread_t threads[];
};

/* With the mutex held, which is released. */
static void unlock_and_wake(struct offload *offload)
{
    bool wake = offload->jobs != NULL && offload->idle_count > 0 && !offload->waking;

    if (wake)
        offload->waking = true;
    pthread_mutex_unlock(&offload->mutex);
    if (wake)
        pthread_cond_signal(&offload->wake);
}

/* Waits for a job; NULL when the pool ends and nothing is left to do. */
static struct offload_job *take_job(struct offload *offload)
{
    pthread_mutex_lock(&offload->mutex);
    while (offload->jobs == NULL && !offload->stopping) {
        offload->idle_count++;
        pthread_cond_wait(&offload->wake, &offload->mutex);
        offload->idle_count--;
        offload->waking = false;
    }
    struct offload_job *job = offload->jobs;
    if (job != NULL) {
        offload->jobs = job->next;
        if (offload->jobs == NULL)
            offload->jobs_end = &offload->jobs;
    }
    unlock_and_wake(offload);
    return job;
}

static void *offload_thread(void *context)
{
    struct offload *offload = context;
    struct offload_job *job;

    thread_begin("nbdcrypt-jobs");
    if (offload->nice > 0) /* Linux has a nice value for each thread; 0 is the calling one */
        setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + offload->nice);
    while ((job = take_job(offload)) != NULL) {
        job->work(job);
        loop_post(job->loop, &job->done);
    }
    return NULL;
}

int offload_create(struct offload **out, unsigned threads, int nice, struct error *err)
{
    struct offload *offload = calloc(1, sizeof *offload + threads * sizeof offload->threads[0]);

    if (offload == NULL)
        return error_no_memory(err, "for a thread pool");
    pthread_mutex_init(&offload->mutex, NULL);
    pthread_cond_init(&offload->wake, NULL);
    offload->jobs_end = &offload->jobs;
    offload->nice = nice;
    while (offload->thread_count < threads) {
        int result =
            pthread_create(&offload->threads[offload->thread_count], NULL, offload_thread, offload);
        if (result != 0) {
            offload_destroy(offload);
            return error_set(err, -result, "a thread for blocking work could not be started: %s",
                             strerror(result));
        }
        offload->thread_count++;
    }
    *out = offload;
    return 0;
}

void offload_destroy(struct offload *offload)
{
    if (offload == NULL)
        return;
    pthread_mutex_lock(&offload->mutex);
    offload->stopping = true;
    pthread_cond_broadcast(&offload->wake);
    pthread_mutex_unlock(&offload->mutex);
    for (unsigned i = 0; i < offload->thread_count; i++)
        pthread_join(offload->threads[i], NULL);
    pthread_cond_destroy(&offload->wake);
    pthread_mutex_destroy(&offload->mutex);
    free(offload);
}

void offload_run(struct offload *offload, struct offload_job *job)
{
    pthread_mutex_lock(&offload->mutex);
    job->next = NULL;
    *offload->jobs_end = job;
    offload->jobs_end = &job->next;
    unlock_and_wake(offload);
}
