#include "plugins/remote/remote-dial-thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/base/threads.h"

#define LEAVE_MS 300u /* remote_dial() looks for its end more often than that */

struct attempt {
    struct remote_dial_thread shared;
    struct remote_address address; /* copies */
    unsigned deadline_ms;
    bool list_contexts;
    struct loop *loop;
    struct loop_message start; /* to the loop that starts it */
    atomic_bool stop;

    pthread_mutex_t mutex;
    pthread_cond_t changed;
    pthread_t thread; /* once `running` */
    bool running, over, left;
};

static struct attempt *of(struct remote_dial_thread *shared)
{
    return container_of(shared, struct attempt, shared);
}

/* ---- memory ---- */

static void destroy(struct attempt *attempt)
{
    remote_connection_close(&attempt->shared.connection);
    meta_contexts_clear(&attempt->shared.listed.contexts);
    pthread_cond_destroy(&attempt->changed);
    pthread_mutex_destroy(&attempt->mutex);
    remote_address_clear(&attempt->address);
    free(attempt);
}

static struct attempt *create(const struct remote_address *address)
{
    struct attempt *attempt = calloc(1, sizeof *attempt);
    pthread_condattr_t clock;

    if (attempt == NULL)
        return NULL;
    attempt->shared.connection.fd = -1;
    pthread_mutex_init(&attempt->mutex, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&attempt->changed, &clock);
    pthread_condattr_destroy(&clock);
    if (remote_address_copy(&attempt->address, address) < 0) {
        destroy(attempt);
        return NULL;
    }
    return attempt;
}

/* ---- the thread ---- */

/* With the mutex; who has left learns nothing. */
static void tell_end(struct attempt *attempt, int result)
{
    struct remote_dial_thread *shared = &attempt->shared;

    shared->done.result = result;
    attempt->over = true;
    if (!attempt->left && attempt->loop != NULL)
        loop_post(attempt->loop, &shared->done); /* the loop is there: nobody has left */
    pthread_cond_signal(&attempt->changed);
}

static void *attempt_thread(void *context)
{
    struct attempt *attempt = context;
    struct remote_dial_thread *shared = &attempt->shared;

    thread_begin("nbdcrypt-dial");
    int result = remote_dial(&shared->connection, &shared->features,
                             attempt->list_contexts ? &shared->listed : NULL, &attempt->address,
                             attempt->deadline_ms, &attempt->stop, &shared->error);
    pthread_mutex_lock(&attempt->mutex);
    tell_end(attempt, result);
    bool left = attempt->left;
    pthread_mutex_unlock(&attempt->mutex);
    if (left)
        destroy(attempt);
    return NULL;
}

/* With the mutex. */
static int run(struct attempt *attempt, struct error *err)
{
    int code = -pthread_create(&attempt->thread, NULL, attempt_thread, attempt);

    attempt->running = code == 0;
    return code == 0 ? 0
                     : error_set(err, code, "a thread for connecting could not be started: %s",
                                 strerror(-code));
}

static void start_here(struct io_event *ev, int result)
{
    struct attempt *attempt = container_of(ev, struct attempt, start.event);

    pthread_mutex_lock(&attempt->mutex);
    bool left = attempt->left;
    result = left ? 0 : run(attempt, &attempt->shared.error);
    if (result < 0)
        tell_end(attempt, result);
    pthread_mutex_unlock(&attempt->mutex); /* unless `left`, it may be gone from here on */
    if (left)
        destroy(attempt);
}

int remote_dial_thread_start(struct remote_dial_thread **out,
                             const struct remote_dial_thread_settings *settings, struct error *err)
{
    struct attempt *attempt = create(settings->address);

    if (attempt == NULL)
        return error_no_memory(err, "for connecting");
    attempt->deadline_ms = settings->deadline_ms;
    attempt->list_contexts = settings->list_contexts;
    attempt->loop = settings->loop;
    attempt->start.event.fn = start_here;
    attempt->shared.done.event.fn = settings->done;
    attempt->shared.context = settings->context;
    *out = &attempt->shared;
    if (settings->starter != NULL) {
        loop_post(settings->starter, &attempt->start);
        return 0;
    }
    pthread_mutex_lock(&attempt->mutex);
    int code = run(attempt, err);
    pthread_mutex_unlock(&attempt->mutex);
    if (code < 0) {
        destroy(attempt);
        *out = NULL;
    }
    return code;
}

/* ---- who asked ---- */

/* With the mutex. */
static bool wait_for_end(struct attempt *attempt, unsigned timeout_ms)
{
    struct timespec end;
    int result = 0;

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += timeout_ms / 1000;
    end.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (end.tv_nsec >= 1000000000) {
        end.tv_nsec -= 1000000000;
        end.tv_sec++;
    }
    while (!attempt->over && result == 0)
        result = pthread_cond_timedwait(&attempt->changed, &attempt->mutex, &end);
    return attempt->over;
}

bool remote_dial_thread_wait(struct remote_dial_thread *shared, unsigned timeout_ms)
{
    struct attempt *attempt = of(shared);

    pthread_mutex_lock(&attempt->mutex);
    bool over = wait_for_end(attempt, timeout_ms);
    pthread_mutex_unlock(&attempt->mutex);
    return over;
}

void remote_dial_thread_free(struct remote_dial_thread *shared)
{
    struct attempt *attempt = of(shared);

    pthread_mutex_lock(&attempt->mutex);
    bool running = attempt->running;
    pthread_mutex_unlock(&attempt->mutex);
    if (running)
        pthread_join(attempt->thread, NULL);
    destroy(attempt);
}

void remote_dial_thread_hurry(struct remote_dial_thread *shared)
{
    atomic_store(&of(shared)->stop, true);
}

bool remote_dial_thread_leave(struct remote_dial_thread *shared)
{
    struct attempt *attempt = of(shared);
    bool has_loop = attempt->loop != NULL;

    atomic_store(&attempt->stop, true);
    pthread_mutex_lock(&attempt->mutex);
    bool over = has_loop ? attempt->over : wait_for_end(attempt, LEAVE_MS);
    if (!over) {
        attempt->left = true;
        if (attempt->running)
            pthread_detach(attempt->thread);
    }
    pthread_mutex_unlock(&attempt->mutex); /* from here on it may be gone */
    if (over && !has_loop)
        remote_dial_thread_free(shared);
    return over && has_loop;
}
