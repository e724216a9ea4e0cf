#include "tests/sim/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/access/places.h"
#include "server/board/board-owner.h"
#include "server/control/control-rules.h"
#include "server/export/export-set.h"
#include "server/loop/offload.h"
#include "server/serve/export-opening.h"
#include "server/serve/exports.h"
#include "server/serve/reload.h"
#include "server/serve/serve-options.h"
#include "server/tls/tls.h"
#include "tests/sim/config.h"
#include "tests/sim/files.h"
#include "tests/sim/loop-hosts.h"
#include "tests/sim/network.h"
#include "tests/sim/options.h"
#include "tests/sim/oracle.h"
#include "tests/sim/pki.h"
#include "tests/sim/schedule.h"
#include "tests/sim/trace.h"

#define OFFLOAD_THREADS 4u
#define HANDSHAKE_THREADS 2u
#define WORKERS_MAX 8u
#define CONFIG_EXPORTS_MAX 3u

struct life {
    enum site site;
    unsigned host;
    enum server_state state;
    bool failed;    /* to start */
    bool disk_went; /* of the exports that it has started with */
    bool hangup_is_pending, is_suspending;
    bool left_behind; /* a thread that opens an export, which the process does not wait for */
    struct fiber *main;
    struct loop *loop;
    struct offload *admin, *offload, *handshakes;
    struct tls tls;
    struct board *board;
    char *words[2][4]; /* command lines: one for the start, one for reloads */
    struct serve_options options;
    struct export exports[CONFIG_EXPORTS_MAX];
    struct export *opened[CONFIG_EXPORTS_MAX];
    char *reasons[CONFIG_EXPORTS_MAX];
    struct export_opening opening;
    struct export_set *set;
    struct exports *live;
    struct export_retry *retry;
    struct reload reload;
    struct reload_host reload_host;
    struct places places;
    struct worker_thread *workers[WORKERS_MAX];
    unsigned worker_count, ended_count, answers;
    struct io_event worker_ended;
    struct loop_message stop, hangup;
};

struct arrival {
    struct loop_message message;
    struct life *life;
    int fd;
    unsigned client;
};

static struct life *lives[SITES];
static unsigned lives_ended[SITES];
static bool away;

/* ---- start ---- */

static void worker_has_ended(struct io_event *ev, int result)
{
    struct loop_message *message = container_of(ev, struct loop_message, event);
    struct life *mine = container_of(message, struct worker_thread, ended)->owner;

    (void)result;
    if (++mine->ended_count == mine->worker_count)
        loop_stop(mine->loop);
}

static unsigned workers_of(const struct life *mine)
{
    return mine->options.threads;
}

static int read_config(struct life *mine, struct error *err)
{
    for (unsigned i = 0; i < 2; i++) {
        const char *words[] = { "serve", "--config", config_path(mine->site), NULL };

        memcpy(mine->words[i], words, sizeof(words));
    }
    int result = serve_options_parse(&mine->options, 3, mine->words[0], err);
    if (result < 0)
        sim_fail("the configuration is not taken: %s", err->text);
    return 0;
}

static int open_exports(struct life *mine, struct error *err)
{
    size_t count = mine->options.export_count;

    if (count > CONFIG_EXPORTS_MAX)
        sim_fail("a configuration has %zu exports", count);
    mine->opening = (struct export_opening){
        .settings = mine->options.exports,
        .count = count,
        .offload = mine->offload,
        .workers = workers_of(mine),
        .cpus = 2,
        .exports = mine->opened,
        .reasons = mine->reasons,
        .none_will_do = mine->options.retry_exports_given,
    };
    for (size_t i = 0; i < count; i++) {
        const struct export_settings *settings = &mine->options.exports[i];

        export_declare(&mine->exports[i], i + 1, settings);
        export_join_board(&mine->exports[i], mine->board);
        mine->opened[i] = &mine->exports[i];
    }
    int result = export_set_create(&mine->set, mine->opened, count, err);
    if (result == 0 && mine->site == SITE_FRONT) /* whose groups are those of the process */
        result = config_use_groups(&mine->options, err);
    if (result == 0)
        result = export_opening_run(&mine->opening, err);
    if (result < 0)
        return result;
    return exports_create(
        &mine->live,
        &(struct exports_settings){ .opening = &mine->opening,
                                    .set = mine->set,
                                    .board = mine->board,
                                    .workers = mine->workers,
                                    .open_timeout_seconds = mine->options.open_timeout_seconds },
        err);
}

static int start_workers(struct life *mine, struct error *err)
{
    unsigned count = workers_of(mine);
    const struct worker_terms terms = worker_terms_of(&mine->options, count);

    places_init(&mine->places, mine->options.max_connections,
                mine->options.max_connections_per_client);
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
                .buffers_max_bytes = terms.buffers_max_bytes,
                .handshake_timeout_ms = terms.handshake_timeout_ms,
                .drain_max_ms = terms.drain_max_ms,
                .no_extended_headers = terms.no_extended_headers,
            },
            .stall_timeout_ms = terms.stall_timeout_ms,
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
    int result = offload_create(&mine->handshakes, HANDSHAKE_THREADS, 0, err);

    if (result == 0)
        result = tls_open(&mine->tls, &mine->options.tls, err);
    mine->tls.offload = mine->handshakes;
    return result;
}

/* The pool is there. */
static int need_nothing(void *nothing, struct error *err)
{
    (void)nothing;
    (void)err;
    return 0;
}

/* There is no control socket. */
static void use_options(void *nothing, const struct serve_options *now, struct control_rules *rules)
{
    (void)nothing;
    (void)now;
    control_rules_free(rules);
}

/* In the order of server/serve/command-serve.c. */
static int start(struct life *mine, struct error *err)
{
    int result = read_config(mine, err);

    if (result == 0)
        result = board_create(&mine->board, workers_of(mine), err);
    if (result == 0)
        result = loop_create(&mine->loop, &(struct loop_config){ .entries = 64 }, err);
    if (result == 0)
        result = start_tls(mine, err);
    if (result == 0)
        result = offload_create(&mine->admin, 1, 0, err);
    if (result == 0)
        result = offload_create(&mine->offload, OFFLOAD_THREADS, 0, err);
    if (result == 0)
        result = open_exports(mine, err);
    mine->reload.config = (struct reload_config){ .argc = 3,
                                                  .argv = mine->words[1],
                                                  .tls = &mine->tls,
                                                  .exports = mine->live,
                                                  .host = &mine->reload_host,
                                                  .first = &mine->options };
    mine->reload_host = (struct reload_host){ .loop = mine->loop,
                                              .tls = &mine->tls,
                                              .places = &mine->places,
                                              .exports = mine->live,
                                              .board = mine->board,
                                              .workers = workers_of(mine),
                                              .need_handshakes = need_nothing,
                                              .changed = use_options };
    mine->reload.loop = mine->loop;
    mine->reload.admin = mine->admin;
    if (result == 0)
        result = start_workers(mine, err);
    mine->reload.workers = mine->workers;
    mine->reload.worker_count = mine->worker_count;
    if (result == 0)
        result = export_retry_start(&mine->retry, &mine->opening,
                                    mine->options.retry_exports_seconds, err);
    if (result == 0)
        exports_set_retry(mine->live, mine->retry);
    return result;
}

/* ---- the end ---- */

static void stop_here(struct io_event *ev, int result)
{
    struct life *mine = container_of(ev, struct life, stop.event);

    (void)result;
    reload_stop(&mine->reload);
    mine->left_behind = !export_retry_stop(mine->retry);
    exports_stop(mine->live);
    for (unsigned i = 0; i < mine->worker_count; i++)
        worker_thread_shutdown(mine->workers[i]);
}

static void flush(struct life *mine)
{
    uint64_t sent = oracle_moment();
    const struct export_set *set = exports_lock(mine->live);
    const struct export *disk = exports_find(set, DISK);
    bool there = disk != NULL && export_is_open(disk);

    exports_unlock(mine->live);
    if (exports_flush(mine->live, mine->loop) == 0 && there && mine->site == SITE_FRONT)
        oracle_flushed_by_itself(sent, options.remote > 0);
}

static void close_exports(struct life *mine)
{
    if (mine->live != NULL) {
        exports_close(mine->live);
        return;
    }
    for (size_t i = 0; mine->set != NULL && i < mine->set->count; i++)
        if (export_is_open(mine->set->exports[i]))
            export_close(mine->set->exports[i]);
    export_set_free(mine->set);
}

static void free_what_is_left(struct life *mine)
{
    offload_destroy(mine->handshakes);
    for (unsigned i = 0; i < mine->worker_count; i++) {
        if (mine->is_suspending) /* a worker that has ended looks no more whether clients are quiet
                                  */
            loop_forget_timers(mine->workers[i]->worker.loop);
        worker_thread_destroy(mine->workers[i]);
    }
    tls_close(&mine->tls);
    loop_destroy(mine->loop);
    for (size_t i = 0; i < mine->opening.count; i++)
        free(mine->reasons[i]);
    exports_free(mine->live);
    export_retry_free(mine->retry);
    reload_config_free(&mine->reload.config);
    serve_options_free(&mine->options);
    board_destroy(mine->board);
}

static void tear_down(struct life *mine)
{
    for (unsigned i = 0; i < mine->worker_count; i++)
        if (!worker_thread_join(mine->workers[i]))
            sim_fail("a worker has left something behind");
    offload_destroy(mine->admin);
    mine->left_behind |= !exports_join(mine->live);
    if (mine->ended_count > 0)
        flush(mine);
    if (atomic_load(&mine->places.attached) + atomic_load(&mine->places.handshakes) > 0)
        sim_fail("a server has ended with a client that has a place");
    if (!mine->left_behind)
        offload_destroy(mine->offload);
    close_exports(mine);
    if (mine->left_behind)
        mark(MARK_ended_beside_an_opening);
    else
        free_what_is_left(mine);
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

static void hangup_here(struct io_event *ev, int result);

void server_begin(enum site site)
{
    struct life *life = calloc(1, sizeof(*life));

    if (life == NULL)
        sim_fail("no memory");
    life->site = site;
    life->host = host_create();
    life->state = SERVER_STARTING;
    life->stop.event.fn = stop_here;
    life->hangup.event.fn = hangup_here;
    lives[site] = life;
    config_write(site, &(struct config_wish){ 0 });
    if (site == SITE_FRONT) {
        away = false;
        pki_start();
    }
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
    if (life->left_behind) { /* by _exit() */
        loops_kill(life->host);
        host_kill(life->host);
        files_close_all(life->host);
    }
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
    loops_kill(life->host); /* what is in flight reads stacks */
    host_kill(life->host);
    files_close_all(life->host);
    fiber_wake_all(life);
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

/* ---- changes while it runs ---- */

static void hangup_here(struct io_event *ev, int result)
{
    struct life *mine = container_of(ev, struct life, hangup.event);

    (void)result;
    mine->hangup_is_pending = false;
    reload_all(&mine->reload);
}

/* Until the one before has been taken, another one says nothing more (signal(7)). */
void server_hangup(void)
{
    struct life *life = lives[SITE_FRONT];

    trace_event("SIGHUP", 0, 0, 0, 0);
    mark(MARK_hangup);
    if (!life->hangup_is_pending)
        loop_post(life->loop, &life->hangup);
    life->hangup_is_pending = true;
}

bool server_is_reading(void)
{
    const struct life *life = lives[SITE_FRONT];

    return life->hangup_is_pending || life->reload.running;
}

bool server_has_export(const char *name)
{
    struct life *life = lives[SITE_FRONT];
    bool there = exports_find(exports_lock(life->live), name) != NULL;

    exports_unlock(life->live);
    return there;
}

/* What somebody asks of the main thread; never freed, for it may be killed with it. */
struct wish {
    struct loop_message message;
    struct offload_job job;
    struct life *life;
    struct exports_change *change;
    bool dry_run, done;
    int result;
};

static struct wish *ask(void (*here)(struct io_event *ev, int result))
{
    struct wish *wish = calloc(1, sizeof(*wish));

    if (wish == NULL)
        sim_fail("no memory");
    wish->life = lives[SITE_FRONT];
    wish->message.event.fn = here;
    return wish;
}

static void is_done(struct wish *wish, int result)
{
    wish->result = result;
    wish->done = true;
    fiber_wake_all(wish->life);
}

/* -EPIPE: the server has ended before. */
static int wait_for(struct wish *wish)
{
    struct life *life = wish->life;

    if (life->state != SERVER_UP)
        return -EPIPE;
    loop_post(life->loop, &wish->message);
    while (!wish->done && host_is_alive(life->host) && life->state != SERVER_DOWN)
        fiber_wait(life);
    return wish->done ? wish->result : -EPIPE;
}

static void read_files(struct offload_job *job)
{
    struct wish *wish = container_of(job, struct wish, job);
    struct error err = { "" }, refused = { "" };
    const struct reload_wish how = { .dry_run = wish->dry_run, .refused = &refused };

    wish->job.done.result = reload_files(&wish->life->reload, &how, &err);
    if (wish->job.done.result < 0)
        trace_text(err.text);
}

static void files_are_read(struct io_event *ev, int result)
{
    is_done(container_of(ev, struct wish, job.done.event), result);
}

static void read_here(struct io_event *ev, int result)
{
    struct wish *wish = container_of(ev, struct wish, message.event);

    (void)result;
    wish->job.work = read_files;
    wish->job.loop = wish->life->loop;
    wish->job.done.event.fn = files_are_read;
    offload_run(wish->life->admin, &wish->job);
}

int server_reload(bool dry_run)
{
    struct wish *wish = ask(read_here);

    wish->dry_run = dry_run;
    return wait_for(wish);
}

static void change_is_done(struct exports_change *change)
{
    is_done(container_of(change, struct server_change, change)->wish, change->code);
}

static void submit_here(struct io_event *ev, int result)
{
    struct wish *wish = container_of(ev, struct wish, message.event);

    (void)result;
    exports_submit(wish->life->live, wish->change);
}

int server_change(struct server_change *wanted)
{
    struct wish *wish = ask(submit_here);
    struct exports_change *change = &wanted->change;

    wish->life->is_suspending = change->suspended != NULL;
    wanted->wish = wish;
    wish->change = change;
    change->done = change_is_done;
    int result = wait_for(wish);
    if (result < 0 && result != -EPIPE)
        trace_text(change->error.text);
    return result;
}

bool server_limit(const struct limit_terms *terms)
{
    struct life *life = lives[SITE_FRONT];
    struct export *disk = exports_find(exports_lock(life->live), DISK);

    if (disk != NULL)
        export_limit(disk, terms);
    exports_unlock(life->live);
    return disk != NULL;
}

void server_disk_goes(bool for_good)
{
    server_is_disturbed(true);
    away = true;
    lives[SITE_FRONT]->disk_went |= for_good;
}

void server_disk_stays(void)
{
    server_is_disturbed(false);
    away = false;
}

void server_disk_is_back(void)
{
    away = false;
}

/* Or it could not be opened at the start, and is tried again. */
bool server_disk_is_away(void)
{
    const struct life *life = lives[SITE_FRONT];

    return away || (!life->disk_went && !export_is_open(&life->exports[0]));
}

/* ---- connections ---- */

static void arrived(struct io_event *ev, int result)
{
    struct arrival *arrival = container_of(ev, struct arrival, message.event);
    struct life *mine = arrival->life;
    struct peer peer = { .address = { .ss_family = AF_UNIX }, .uid = client_user(arrival->client) };
    struct worker_thread *least = mine->workers[0];
    struct place place;

    (void)result;
    (void)snprintf(peer.text, sizeof(peer.text), "client %u", arrival->client);
    for (unsigned i = 1; i < mine->worker_count; i++)
        if (atomic_load(&mine->workers[i]->worker.connection_count) <
            atomic_load(&least->worker.connection_count))
            least = mine->workers[i];
    enum place_result granted =
        mine->state == SERVER_UP ? places_enter(&mine->places, &place, &peer) : PLACE_NONE;
    if (mine->state != SERVER_UP) {
        close(arrival->fd);
    } else if (granted == PLACE_GRANTED) {
        worker_thread_connect(least, arrival->fd, &peer, &place);
    } else {
        mark(MARK_turned_away);
        worker_thread_turn_away(least, arrival->fd, &peer, granted);
    }
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
