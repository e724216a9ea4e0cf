#include "tests/sim/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/access/places.h"
#include "server/base/log.h"
#include "server/board/board-owner.h"
#include "server/serve/worker-thread.h"
#include "server/export/export.h"
#include "server/loop/offload.h"
#include "server/tls/tls.h"
#include "tests/sim/files.h"
#include "tests/sim/jobs.h"
#include "tests/sim/loop-hosts.h"
#include "tests/sim/network.h"
#include "tests/sim/options.h"
#include "tests/sim/oracle.h"
#include "tests/sim/schedule.h"
#include "tests/sim/trace.h"
#include "tests/sim/volumes.h"
#include "tests/sim/wire.h"

#define OFFLOAD_THREADS 4u
#define HANDSHAKE_THREADS 2u
#define WORKERS_MAX 8u
#define REMOTE_URI "%s+unix://%s/?socket=/sim/store%s%s"
#define BUFFERS_LEAST_BYTES (2u * BUFFER_PIECE_BYTES)

struct life {
    enum site site;
    unsigned host;
    enum server_state state;
    bool failed; /* to start */
    struct fiber *main;
    struct loop *loop;
    struct offload *offload, *handshakes;
    struct tls tls;
    struct board *board;
    struct export ex;
    struct export *exports[1];
    struct export_set *set;
    struct places places;
    struct worker_thread *workers[WORKERS_MAX];
    unsigned worker_count, ended_count, answers;
    struct io_event worker_ended;
    struct loop_message stop;
};

struct arrival {
    struct loop_message message;
    struct life *life;
    int fd;
    unsigned client;
};

static struct life *lives[SITES];
static unsigned lives_ended[SITES];

/* ---- start ---- */

static void worker_has_ended(struct io_event *ev, int result)
{
    struct loop_message *message = container_of(ev, struct loop_message, event);
    struct life *mine = container_of(message, struct worker_thread, ended)->owner;

    (void)result;
    if (++mine->ended_count == mine->worker_count)
        loop_stop(mine->loop);
}

static const char *remote_uri(void)
{
    static char uri[160];

    (void)snprintf(uri, sizeof(uri), REMOTE_URI, options.store_tls ? "nbds" : "nbd",
                   options.store_tls ? "client@" : "", options.store_tls ? "&tls-psk-file=" : "",
                   options.store_tls ? wire_key_path() : "");
    return uri;
}

/* The store has the image as it is; the front has LUKS, above the image or above the store. */
static struct export_settings settings_of(enum site site)
{
    bool front = site == SITE_FRONT;

    return (struct export_settings){
        .name = "",
        .image = front && options.remote ? remote_uri() : SIM_FOLDER VOLUME_IMAGE,
        .header = front && options.layer > 0 && options.detached ? SIM_FOLDER VOLUME_HEADER : NULL,
        .key = { .file = jobs_key() },
        .raw = !front || options.layer == 0,
        .discard = front && options.discard,
        .zero_holes = front && options.zero_holes,
    };
}

static unsigned workers_of(enum site site)
{
    return site == SITE_FRONT ? (unsigned)options.workers : 2;
}

static int open_export(struct life *mine, struct error *err)
{
    const struct export_settings settings = settings_of(mine->site);
    struct export opened;

    int result = export_set_create(&mine->set, mine->exports, 1, err);
    if (result == 0)
        result = export_open(&opened, &settings, mine->offload, workers_of(mine->site), err);
    if (result == 0)
        export_publish(&mine->ex, &opened);
    return result;
}

static int start_workers(struct life *mine, struct error *err)
{
    unsigned count = workers_of(mine->site);

    places_init(&mine->places, 1000, 0);
    mine->worker_ended.fn = worker_has_ended;
    for (unsigned i = 0; i < count; i++) {
        struct worker_thread_settings settings = {
            .worker = {
                .board = mine->board,
                .exports = mine->set,
                .tls = &mine->tls,
                .places = &mine->places,
                .index = i,
                .worker_count = count,
                .buffers_max_bytes = (uint64_t)8 * BUFFERS_LEAST_BYTES,
                .handshake_timeout_ms = 10000,
                .drain_max_ms = 5000,
            },
            .stall_timeout_ms = 60000,
            .owner = mine,
            .main_loop = mine->loop,
            .ended = mine->worker_ended,
        };
        int result = worker_thread_create(&mine->workers[i], &settings, err);
        if (result < 0)
            return result;
        mine->worker_count++;
    }
    return 0;
}

static int start_tls(struct life *mine, struct error *err)
{
    bool wanted = mine->site == SITE_FRONT ? options.tls : options.store_tls;
    const struct tls_settings settings = { .mode = wanted ? "require" : "off",
                                           .psk = wanted ? wire_key_path() : NULL,
                                           .ktls = wanted ? "off" : NULL };
    int result = offload_create(&mine->handshakes, HANDSHAKE_THREADS, 0, err);

    if (result == 0)
        result = tls_open(&mine->tls, &settings, err);
    mine->tls.offload = mine->handshakes;
    return result;
}

static int start(struct life *mine, struct error *err)
{
    const struct export_settings settings = settings_of(mine->site);

    mine->exports[0] = &mine->ex;
    export_declare(&mine->ex, 1, &settings);
    int result = board_create(&mine->board, workers_of(mine->site), err);
    if (result == 0)
        mine->ex.place = board_export_begin(mine->board, 1, "");
    if (result == 0)
        result = loop_create(&mine->loop, &(struct loop_config){ .entries = 64 }, err);

    if (result == 0)
        result = offload_create(&mine->offload, OFFLOAD_THREADS, 0, err);
    if (result == 0)
        result = start_tls(mine, err);
    if (result == 0)
        result = open_export(mine, err);
    if (result == 0)
        result = start_workers(mine, err);
    return result;
}

/* ---- the end ---- */

static void stop_here(struct io_event *ev, int result)
{
    struct life *mine = container_of(ev, struct life, stop.event);

    (void)result;
    for (unsigned i = 0; i < mine->worker_count; i++)
        worker_thread_shutdown(mine->workers[i]);
}

static void flush(struct life *mine)
{
    struct error err = { "" };
    uint64_t sent = oracle_moment();

    if (export_flush(&mine->ex, mine->loop, &err) < 0)
        trace_text(err.text);
    else if (mine->site == SITE_FRONT)
        oracle_flushed(sent);
}

static void tear_down(struct life *mine)
{
    board_place place = mine->ex.place;

    for (unsigned i = 0; i < mine->worker_count; i++)
        if (!worker_thread_join(mine->workers[i]))
            sim_fail("a worker has left something behind");
    if (export_is_open(&mine->ex))
        flush(mine);
    if (atomic_load(&mine->places.attached) + atomic_load(&mine->places.handshakes) > 0)
        sim_fail("a server has ended with a client that has a place");
    offload_destroy(mine->offload);
    if (export_is_open(&mine->ex))
        export_close(&mine->ex);
    export_set_free(mine->set);
    offload_destroy(mine->handshakes);
    for (unsigned i = 0; i < mine->worker_count; i++)
        worker_thread_destroy(mine->workers[i]);
    tls_close(&mine->tls);
    board_export_end(mine->board, place);
    board_destroy(mine->board);
    loop_destroy(mine->loop);
}

static void *live(void *context)
{
    struct life *mine = context;
    struct error err = { "" };

    if (start(mine, &err) < 0) {
        trace_text(err.text);
        mine->failed = true;
        if (mine->worker_count > 0)
            sim_fail("workers could not be started: %s", err.text);
    } else {
        mine->state = SERVER_UP;
        fiber_wake_all(mine);
        loop_run(mine->loop);
    }
    mine->state = SERVER_STOPPING;
    tear_down(mine);
    mine->state = SERVER_DOWN;
    lives_ended[mine->site]++;
    fiber_wake_all(mine);
    return NULL;
}

/* ---- what the world sees ---- */

void server_begin(enum site site)
{
    struct life *life = calloc(1, sizeof(*life));

    if (life == NULL)
        sim_fail("no memory");
    life->site = site;
    life->host = host_create();
    life->state = SERVER_STARTING;
    life->stop.event.fn = stop_here;
    lives[site] = life;
    trace_event("server %llu starts, host %llu", site, life->host, 0, 0);
    life->main = fiber_start("main", life->host, live, life);
}

unsigned server_life(enum site site)
{
    return lives_ended[site];
}

enum server_state server_state(enum site site)
{
    return lives[site] != NULL ? lives[site]->state : SERVER_DOWN;
}

unsigned server_connections(enum site site)
{
    const struct life *life = lives[site];
    unsigned count = 0;

    for (unsigned i = 0; server_state(site) != SERVER_DOWN && i < life->worker_count; i++)
        count += atomic_load(&life->workers[i]->worker.connection_count);
    return count;
}

static void check_nothing_is_left(const struct life *life)
{
    if (files_open_count(life->host) > 0)
        sim_fail("a server has ended with %u descriptors open", files_open_count(life->host));
    if (loops_count(life->host) > 0)
        sim_fail("a server has ended with %u loops", loops_count(life->host));
    if (host_fiber_count(life->host) > 0)
        sim_fail("a server has ended with %u threads", host_fiber_count(life->host));
}

bool server_has_started(enum site site)
{
    struct life *life = lives[site];

    while (life->state == SERVER_STARTING)
        fiber_wait(life);
    if (life->failed)
        server_has_ended(site);
    return !life->failed;
}

void server_terminate(enum site site)
{
    struct life *life = lives[site];

    trace_event("SIGTERM for server %llu", site, 0, 0, 0);
    mark(MARK_terminate);
    life->state = SERVER_STOPPING;
    loop_post(life->loop, &life->stop);
}

void server_has_ended(enum site site)
{
    struct life *life = lives[site];

    while (life->state != SERVER_DOWN)
        fiber_wait(life);
    (void)fiber_join(life->main);
    check_nothing_is_left(life);
    schedule_progress();
}

void server_kill(enum site site)
{
    struct life *life = lives[site];

    trace_event("server %llu is killed", site, 0, 0, 0);
    mark(life->state == SERVER_STARTING ? MARK_kill_while_starting : MARK_kill);
    life->state = SERVER_DOWN;
    lives_ended[site]++;
    host_kill(life->host);
    loops_kill(life->host);
    files_close_all(life->host);
}

void server_count_answer(void)
{
    lives[SITE_FRONT]->answers++;
    schedule_progress();
}

unsigned server_answers(void)
{
    return lives[SITE_FRONT]->answers;
}

/* ---- connections ---- */

static void arrived(struct io_event *ev, int result)
{
    struct arrival *arrival = container_of(ev, struct arrival, message.event);
    struct life *mine = arrival->life;
    struct peer peer = { .address = { .ss_family = AF_UNIX } };
    struct worker_thread *least = mine->workers[0];
    struct place place;

    (void)result;
    (void)snprintf(peer.text, sizeof(peer.text), "client %u", arrival->client);
    for (unsigned i = 1; i < mine->worker_count; i++)
        if (atomic_load(&mine->workers[i]->worker.connection_count) <
            atomic_load(&least->worker.connection_count))
            least = mine->workers[i];
    if (mine->state != SERVER_UP || places_enter(&mine->places, &place, &peer) != PLACE_GRANTED)
        close(arrival->fd);
    else
        worker_thread_connect(least, arrival->fd, &peer, &place);
    free(arrival);
}

struct endpoint *server_connect(enum site site, unsigned client)
{
    struct life *life = lives[site];
    struct endpoint *ends[2];

    if (server_state(site) != SERVER_UP) {
        mark(MARK_refused);
        return NULL;
    }
    struct arrival *arrival = malloc(sizeof(*arrival));
    if (arrival == NULL)
        sim_fail("no memory");
    network_connect(ends);
    *arrival = (struct arrival){ .message.event.fn = arrived,
                                 .life = life,
                                 .fd = file_of_endpoint(ends[1], life->host),
                                 .client = client };
    loop_post(life->loop, &arrival->message);
    return ends[0];
}
