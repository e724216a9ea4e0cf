#include "server/serve/worker-thread.h"

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/base/log.h"
#include "server/base/threads.h"
#include "server/connection/connection.h"
#include "server/connection/worker-exports.h"
#include "server/sandbox/sandbox.h"

struct start {
    struct worker_thread *thread;
    sem_t done;
    int code;
    struct error *err;
};

struct new_connection {
    struct loop_message message;
    struct worker_thread *thread;
    int fd;
    struct peer peer;
    struct place place;
    enum place_result surplus; /* PLACE_GRANTED: it is not */
};

/* Its loop_stop() is the last event of this loop. */
static void last_has_gone(struct io_event *ev, int result)
{
    struct worker_thread *thread = container_of(ev, struct worker_thread, empty);

    (void)result;
    loop_stop(thread->worker.loop);
    loop_post(thread->main_loop, &thread->ended);
}

static void connection_ended(struct io_event *ev, int result)
{
    struct worker_thread *thread = container_of(ev, struct worker_thread, connection_ended);

    (void)result;
    worker_exports_connection_ended(&thread->worker);
}

static void terms_changed(struct io_event *ev, int stall_timeout_ms)
{
    struct worker_thread *thread = container_of(ev, struct worker_thread, terms_changed);

    thread->stall.timeout_ms = (unsigned)stall_timeout_ms;
    if (thread->worker.connections != NULL)
        stall_watch_begin(&thread->stall);
}

static void *run(void *context)
{
    struct start *start = context;
    struct worker_thread *thread = start->thread;
    struct worker *worker = &thread->worker;
    char name[16];

    snprintf(name, sizeof name, "nbdcrypt-%u", worker->index);
    thread_begin(name);
    int code = worker_set_up(worker, start->err);
    if (code == 0)
        code = sandbox_enter_worker(start->err);
    start->code = code;
    sem_post(&start->done); /* `start` is gone from here on */
    if (code == 0)
        loop_run(worker->loop);
    memory_pressure_stop(&thread->pressure);
    stall_watch_stop(&thread->stall);
    standing_watch_stop(&thread->standing);
    worker_tear_down(worker);
    return NULL;
}

int worker_thread_create(struct worker_thread **out, const struct worker_thread_settings *settings,
                         struct error *err)
{
    struct worker_thread *thread = calloc(1, sizeof *thread);
    struct start start = { .thread = thread, .err = err };

    if (thread == NULL)
        return error_no_memory(err, "for a worker");
    worker_init(&thread->worker, &settings->worker);
    memory_pressure_init(&thread->pressure, &thread->worker);
    fair_share_init(&thread->share, &thread->worker);
    stall_watch_init(&thread->stall, &thread->worker, settings->stall_timeout_ms);
    standing_watch_init(&thread->standing, &thread->worker);
    thread->empty.fn = last_has_gone;
    thread->worker.empty = &thread->empty;
    thread->connection_ended.fn = connection_ended;
    thread->worker.connection_ended = &thread->connection_ended;
    thread->terms_changed.fn = terms_changed;
    thread->worker.terms_changed = &thread->terms_changed;
    thread->owner = settings->owner;
    thread->main_loop = settings->main_loop;
    thread->ended.event = settings->ended;
    sem_init(&start.done, 0, 0);
    int code = -pthread_create(&thread->thread, NULL, run, &start);
    if (code < 0) {
        error_set(err, code, "a worker thread could not be started: %s", strerror(-code));
    } else {
        while (sem_wait(&start.done) != 0)
            ;
        code = start.code;
        if (code < 0)
            pthread_join(thread->thread, NULL);
    }
    sem_destroy(&start.done);
    if (code < 0) {
        worker_thread_destroy(thread);
        return code;
    }
    *out = thread;
    return 0;
}

/* ---- connections ---- */

static void connect_here(struct io_event *ev, int result)
{
    struct new_connection *new = container_of(ev, struct new_connection, message.event);
    struct worker_thread *thread = new->thread;

    (void)result;
    if (new->surplus != PLACE_GRANTED)
        connection_turn_away(&thread->worker, new->fd, &new->peer, new->surplus);
    else
        connection_create(&thread->worker, new->fd, &new->peer, &new->place);
    free(new);
    if (thread->worker.connections != NULL)
        stall_watch_begin(&thread->stall);
}

static void hand_over(const struct new_connection *what)
{
    struct new_connection *new = malloc(sizeof *new);
    struct worker *worker = &what->thread->worker;

    if (new == NULL) {
        struct place place = what->place;

        log_write_of(LOG_WARNING, what->peer.text, "refused: not enough memory");
        places_leave(worker->places, &place);
        close(what->fd);
        return;
    }
    *new = *what;
    new->message.event.fn = connect_here;
    atomic_fetch_add(
        new->surplus != PLACE_GRANTED ? &worker->surplus_count : &worker->connection_count, 1);
    loop_post(worker->loop, &new->message);
}

void worker_thread_connect(struct worker_thread *thread, int fd, const struct peer *peer,
                           const struct place *place)
{
    hand_over(&(struct new_connection){
        .thread = thread, .fd = fd, .peer = *peer, .place = *place, .surplus = PLACE_GRANTED });
}

void worker_thread_turn_away(struct worker_thread *thread, int fd, const struct peer *peer,
                             enum place_result why)
{
    hand_over(
        &(struct new_connection){ .thread = thread, .fd = fd, .peer = *peer, .surplus = why });
}

/* ---- the end ---- */

static void shutdown_here(struct io_event *ev, int result)
{
    struct worker_thread *thread = container_of(ev, struct worker_thread, shutdown.event);
    struct worker *worker = &thread->worker;

    (void)result;
    worker->shutting_down = true;
    for (struct connection *connection = worker->connections, *next; connection != NULL;
         connection = next) {
        next = connection->next;
        connection_shutdown(connection);
    }
    worker_end_if_empty(worker);
}

void worker_thread_shutdown(struct worker_thread *thread)
{
    thread->shutdown.event.fn = shutdown_here;
    loop_post(thread->worker.loop, &thread->shutdown);
}

bool worker_thread_join(struct worker_thread *thread)
{
    pthread_join(thread->thread, NULL);
    return !thread->worker.abandoned;
}

void worker_thread_destroy(struct worker_thread *thread)
{
    loop_destroy(thread->worker.loop); /* here, not there: `ended` was posted from within it */
    free(thread);
}
