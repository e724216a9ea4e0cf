#include "server/connection/worker.h"

#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/base/log.h"
#include "server/connection/connection.h"
#include "server/connection/transmission.h"

#define LOOP_ENTRIES 512u
#define FILE_SLOTS 4096u                         /* more connections use plain descriptors */
#define BUFFER_LIMIT_BYTES (64u * 1024u * 1024u) /* mapped as it is needed */
#define MEMORY_SLOTS (BUFFER_LIMIT_BYTES / BUFFER_PIECE_BYTES)
#define COMMANDS_MAX 16384u

struct start {
    struct worker *worker;
    sem_t done;
    uint64_t buffers_max_bytes;
    int code;
    struct error *err;
};

struct new_connection {
    struct loop_message message;
    struct worker *worker;
    int fd;
    struct peer peer;
    struct place place;
    enum place_result surplus; /* PLACE_GRANTED: it is not */
};

static void unpark(struct loop_task *task)
{
    transmission_unpark(container_of(task, struct worker, unpark), TRANSMISSION_UNPARK_BATCH);
}

static int set_up(struct worker *worker, uint64_t buffers_max_bytes, struct error *err)
{
    struct loop_config config = {
        .entries = LOOP_ENTRIES,
        .others = worker->worker_count - 1,
        .file_slots = FILE_SLOTS,
        .memory_slots = MEMORY_SLOTS,
        .busy_wait_us = worker->busy_wait_us,
    };

    worker->unpark.fn = unpark;
    int code = loop_create(&worker->loop, &config, err);
    if (code == 0)
        code = buffer_pool_create(&worker->buffers, worker->loop, BUFFER_LIMIT_BYTES,
                                  buffers_max_bytes, err);
    if (code == 0)
        code = request_pool_create(&worker->requests, COMMANDS_MAX, err);
    return code;
}

/* On the worker's thread, to which the loop belongs. */
static void tear_down(struct worker *worker)
{
    for (size_t i = 0; i < worker->exports->count; i++) {
        if (!export_is_open(&worker->exports->exports[i]))
            continue;
        struct layer **layer = &worker->exports->exports[i].layers[worker->index];

        layer_detach(*layer);
        *layer = NULL;
    }
    memory_pressure_stop(worker);
    stall_watch_stop(worker);
    tls_buffers_free(&worker->tls_buffers);
    request_pool_destroy(worker->requests);
    buffer_pool_destroy(worker->buffers);
}

static void *worker_thread(void *context)
{
    struct start *start = context;
    struct worker *worker = start->worker;
    char name[16];

    snprintf(name, sizeof name, "nbdcrypt-%u", worker->index);
    pthread_setname_np(pthread_self(), name);
    int code = start->code = set_up(worker, start->buffers_max_bytes, start->err);
    sem_post(&start->done); /* `start` is gone from here on */
    if (code == 0)
        loop_run(worker->loop);
    tear_down(worker);
    return NULL;
}

int worker_create(struct worker **out, const struct worker_settings *settings, struct error *err)
{
    struct worker *worker = calloc(1, sizeof *worker);
    struct start start = { .worker = worker,
                           .buffers_max_bytes = settings->buffers_max_bytes,
                           .err = err };

    if (worker == NULL)
        return error_set(err, -ENOMEM, "not enough memory for a worker");
    worker->index = settings->index;
    worker->worker_count = settings->worker_count;
    worker->exports = settings->exports;
    worker->tls = settings->tls;
    worker->places = settings->places;
    worker->handshake_timeout_ms = settings->handshake_timeout_ms;
    worker->stall.timeout_ms = settings->stall_timeout_ms;
    worker->drain_max_ms = settings->drain_max_ms;
    worker->no_multi_conn = settings->no_multi_conn;
    worker->busy_wait_us = settings->busy_wait_us;
    worker->main_loop = settings->main_loop;
    worker->ended.event = settings->ended;
    sem_init(&start.done, 0, 0);
    int code = -pthread_create(&worker->thread, NULL, worker_thread, &start);
    if (code < 0) {
        error_set(err, code, "a worker thread could not be started: %s", strerror(-code));
    } else {
        while (sem_wait(&start.done) != 0)
            ;
        code = start.code;
        if (code < 0)
            pthread_join(worker->thread, NULL);
    }
    sem_destroy(&start.done);
    if (code < 0) {
        loop_destroy(worker->loop);
        free(worker);
        return code;
    }
    *out = worker;
    return 0;
}

/* ---- connections ---- */

static void connect_here(struct io_event *ev, int result)
{
    struct new_connection *new = container_of(ev, struct new_connection, message.event);

    (void)result;
    if (new->surplus != PLACE_GRANTED)
        connection_turn_away(new->worker, new->fd, &new->peer, new->surplus);
    else
        connection_create(new->worker, new->fd, &new->peer, &new->place);
    free(new);
}

static void hand_over(const struct new_connection *what)
{
    struct new_connection *new = malloc(sizeof *new);
    struct worker *worker = what->worker;

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

void worker_connect(struct worker *worker, int fd, const struct peer *peer,
                    const struct place *place)
{
    hand_over(&(struct new_connection){
        .worker = worker, .fd = fd, .peer = *peer, .place = *place, .surplus = PLACE_GRANTED });
}

void worker_turn_away(struct worker *worker, int fd, const struct peer *peer, enum place_result why)
{
    hand_over(
        &(struct new_connection){ .worker = worker, .fd = fd, .peer = *peer, .surplus = why });
}

static void end_if_empty(struct worker *worker)
{
    if (!worker->shutting_down || atomic_load(&worker->connection_count) > 0 ||
        atomic_load(&worker->surplus_count) > 0)
        return;
    loop_stop(worker->loop);
    loop_post(worker->main_loop, &worker->ended);
}

void worker_connection_ended(struct worker *worker, bool surplus)
{
    atomic_fetch_sub(surplus ? &worker->surplus_count : &worker->connection_count, 1);
    end_if_empty(worker);
}

void worker_connection_abandoned(struct worker *worker, bool surplus)
{
    worker->abandoned = true;
    worker_connection_ended(worker, surplus);
}

/* ---- the end ---- */

static void shutdown_here(struct io_event *ev, int result)
{
    struct worker *worker = container_of(ev, struct worker, shutdown.event);

    (void)result;
    worker->shutting_down = true;
    for (struct connection *connection = worker->connections, *next; connection != NULL;
         connection = next) {
        next = connection->next;
        connection_shutdown(connection);
    }
    end_if_empty(worker);
}

void worker_shutdown(struct worker *worker)
{
    worker->shutdown.event.fn = shutdown_here;
    loop_post(worker->loop, &worker->shutdown);
}

bool worker_join(struct worker *worker)
{
    pthread_join(worker->thread, NULL);
    return !worker->abandoned;
}

void worker_destroy(struct worker *worker)
{
    loop_destroy(worker->loop); /* here, not there: `ended` was posted from within it */
    free(worker);
}
