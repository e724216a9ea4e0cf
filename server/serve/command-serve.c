#include "server/serve/command-serve.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/audit/audit.h"
#include "server/base/cpu-count.h"
#include "server/base/descriptors.h"
#include "server/board/board-owner.h"
#include "server/serve/captive.h"
#include "server/client/channel.h"
#include "server/keys/key-command.h"
#include "server/serve/shutdown-timeout.h"
#include "server/serve/spawner-end.h"
#include "server/serve/startup-signals.h"
#include "server/serve/dead-rules.h"
#include "server/serve/exports.h"
#include "server/serve/limit-options.h"
#include "server/serve/listeners.h"
#include "server/base/log.h"
#include "server/base/memory-limit.h"
#include "server/serve/notify.h"
#include "server/serve/reload.h"
#include "server/serve/serve-control.h"
#include "server/serve/serve-metrics.h"
#include "server/serve/serve-programs.h"
#include "server/serve/serve-sandbox.h"
#include "server/serve/serve-user.h"
#include "server/loop/offload.h"
#include "server/serve/report-sections.h"
#include "server/serve/serve-options.h"
#include "server/base/signals.h"
#include "server/base/tcp-keepalive.h"
#include "server/serve/serve-guard.h"
#include "server/serve/serve-log.h"
#include "server/serve/worker-thread.h"

#define OFFLOAD_THREADS 4u
#define AUDIT_LAST_MS 1000u
#define HANDSHAKES_NICE 10
/* Before that it is the same wish: timeout(1) sends SIGTERM twice, and ends a command of --run
 * besides. */
#define SECOND_SIGNAL_MS 1000u
#define KEEPALIVE_MARGIN_S 5u
/* The log's, that of the client, two that come and go: a command of --run, a folder that is
 * read. */
#define STOPPING_MARGIN_S 15u
#define SURPLUS_MAX 32u /* clients that are being told that there is no place for them */

struct server {
    struct serve_options options;
    struct board *board;
    struct loop *loop;
    struct offload *offload;
    struct offload *handshakes;    /* NULL without TLS */
    struct offload *admin;         /* one thread: changes that may block, one at a time */
    struct serve_control *control; /* NULL: there is none */
    struct serve_metrics *metrics;
    struct reload reload;
    struct reload_host reload_host;
    unsigned stall_timeout_seconds, shutdown_timeout_seconds; /* of the options, or the next ones */
    struct export *exports;                                   /* options.export_count */
    struct export_set *set;                                   /* what it begins with */
    struct exports *live;                                     /* has that set, and the next ones */
    struct export_opening opening;
    struct export_retry *retry; /* NULL: all are open, or they are not tried again */
    bool retry_is_left;         /* it is opening one while we end */
    struct tls tls;
    struct places *places;
    struct worker_thread **workers;
    unsigned worker_count, workers_ended;
    struct watchdog *watchdog; /* NULL: nobody watches */
    struct listeners listeners;
    struct early_end early_end; /* until it is ready */
    struct spawner_end *spawner_end;
    int signal_fd;
    struct io_event signal_event, worker_ended, captive_ended;
    struct captive captive;
    bool stopping;
    uint64_t stopping_ms; /* since when, by channel_clock_ms() */
    int exit_status;
};

/* In order of execution. */
static int set_up(struct server *server, struct error *err);
static int announce(struct server *server, struct error *err);
static void client_accepted(void *context, int fd, const struct peer *peer);
static void signal_ready(struct io_event *ev, int result);
static void captive_has_ended(struct io_event *ev, int result);
static void stop(struct server *server);
static void worker_has_ended(struct io_event *ev, int result);
static int tear_down(struct server *server);

static int serve(int argc, char **argv)
{
    struct server server = { .signal_fd = -1 };
    struct error err = { .text = "" };

    int result = serve_options_parse(&server.options, argc, argv, &err);
    server.reload.config = (struct reload_config){
        .argc = argc, .argv = argv, .tls = &server.tls, .first = &server.options
    };
    if (result < 0 || server.options.help) {
        config_problems_log(&server.options.files.problems);
        if (result < 0)
            log_error("%s", err.text);
        else
            serve_options_print_help(stdout);
        serve_options_free(&server.options);
        return result < 0 ? EXIT_USAGE : EXIT_SUCCESS;
    }
    log_set_level(serve_log_level(&server.options));
    result = set_up(&server, &err);
    if (result == 0)
        result = announce(&server, &err);
    if (result < 0) {
        log_error("%s", err.text);
        server.exit_status = EXIT_FAILURE;
        stop(&server);
    }
    if (server.signal_fd >= 0)
        signals_arrive();
    if (server.loop != NULL && (result == 0 || server.worker_count > 0))
        loop_run(server.loop);
    int status = tear_down(&server);
    serve_log_stop();
    return status;
}

const struct command command_serve = {
    .name = "serve",
    .help = "serve encrypted disks over NBD",
    .cryptsetup = "open luksOpen",
    .operands = "IMAGE",
    .params = serve_params,
    .run_itself = serve,
};

/* ---- start ---- */

/* Before any thread exists: signals arrive at the loop, through a descriptor. */
static int watch_signals(struct server *server, struct error *err)
{
    server->signal_fd = signals_watch(err);
    if (server->signal_fd < 0)
        return server->signal_fd;
    server->signal_event.fn = signal_ready;
    loop_poll(server->loop, &server->signal_event, server->signal_fd, POLLIN);
    return 0;
}

/* On another thread, while the main one may hang: only the names go. */
static void remove_names(void *context)
{
    const struct server *server = context;

    listeners_remove_names(&server->listeners);
    serve_control_remove_name(server->control);
    serve_metrics_remove_name(server->metrics);
    audit_stop(AUDIT_LAST_MS);
    board_say_end(server->board, BOARD_ENDS);
}

static int open_exports(struct server *server, unsigned workers, struct error *err)
{
    const struct serve_options *options = &server->options;

    server->opening = (struct export_opening){
        .settings = options->exports,
        .count = options->export_count,
        .offload = server->offload,
        .workers = workers,
        .cpus = cpu_count(),
        .exports = calloc(options->export_count, sizeof *server->opening.exports),
        .reasons = calloc(options->export_count, sizeof *server->opening.reasons),
        .strict = serve_options_are_strict(options),
        .none_will_do = options->export_count == 0 ||
                        (options->retry_exports_given && options->retry_exports_seconds > 0),
    };
    server->exports = calloc(options->export_count, sizeof *server->exports);
    server->workers = calloc(workers, sizeof *server->workers);
    if (server->exports == NULL || server->workers == NULL || server->opening.exports == NULL ||
        server->opening.reasons == NULL)
        return error_no_memory(err, "for the exports");
    int result = limit_options_prepare(options, err);
    if (result < 0)
        return result;
    limit_options_use(options);
    for (size_t i = 0; i < options->export_count; i++) {
        export_declare(&server->exports[i], i + 1, &options->exports[i]);
        export_join_board(&server->exports[i], server->board);
        server->opening.exports[i] = &server->exports[i];
    }
    result = export_set_create(&server->set, server->opening.exports, options->export_count, err);
    if (result == 0)
        result = export_opening_run(&server->opening, err);
    if (result < 0)
        return result;
    struct exports_settings settings = { .opening = &server->opening,
                                         .set = server->set,
                                         .board = server->board,
                                         .workers = server->workers,
                                         .open_timeout_seconds = options->open_timeout_seconds };
    return exports_create(&server->live, &settings, err);
}

static int start_workers(struct server *server, unsigned count, struct error *err)
{
    const struct worker_terms terms = worker_terms_of(&server->options, count);

    server->places = malloc(sizeof *server->places);
    if (server->places == NULL)
        return error_no_memory(err, "for workers");
    places_init(server->places, server->options.max_connections,
                server->options.max_connections_per_client);
    server->worker_ended.fn = worker_has_ended;
    for (unsigned i = 0; i < count; i++) {
        struct worker_thread_settings settings = {
            .worker = {
                .board = server->board,
                .exports = server->set,
                .tls = &server->tls,
                .places = server->places,
                .index = i,
                .worker_count = count,
                .buffers_max_bytes = terms.buffers_max_bytes,
                .handshake_timeout_ms = terms.handshake_timeout_ms,
                .no_multi_conn = terms.no_multi_conn,
                .no_extended_headers = terms.no_extended_headers,
                .drain_max_ms = terms.drain_max_ms,
                .busy_wait_us = server->options.busy_wait_us,
            },
            .stall_timeout_ms = terms.stall_timeout_ms,
            .owner = server,
            .main_loop = server->loop,
            .ended = server->worker_ended,
        };
        int result = worker_thread_create(&server->workers[i], &settings, err);
        if (result < 0)
            return result;
        server->worker_count++;
    }
    return 0;
}

/* Half of the CPUs, or two, and of these what those who are in leave over: however many want in,
 * nobody waits behind them for storage. */
static int need_handshakes(void *context, struct error *err)
{
    struct server *server = context;
    int result = 0;

    if (server->handshakes == NULL)
        result = offload_create(&server->handshakes, cpu_count() > 4 ? cpu_count() / 2 : 2,
                                HANDSHAKES_NICE, err);
    server->tls.offload = server->handshakes;
    return result;
}

static void note_timeouts(struct server *server, const struct serve_options *options)
{
    server->stall_timeout_seconds = options->stall_timeout_seconds;
    server->shutdown_timeout_seconds = options->shutdown_timeout_seconds;
}

static void use_options(void *context, const struct serve_options *options,
                        struct control_rules *rules)
{
    struct server *server = context;

    note_timeouts(server, options);
    serve_control_use(server->control, rules, serve_log_level(options));
}

/* What a reload can change. */
static void allow_reloads(struct server *server, unsigned workers)
{
    server->reload_host = (struct reload_host){ .loop = server->loop,
                                                .listeners = &server->listeners,
                                                .tls = &server->tls,
                                                .places = server->places,
                                                .exports = server->live,
                                                .board = server->board,
                                                .workers = workers,
                                                .need_handshakes = need_handshakes,
                                                .changed = use_options,
                                                .context = server };
    server->reload.metrics_tls = serve_metrics_tls(server->metrics);
    server->reload.config.exports = server->live;
    server->reload.config.host = &server->reload_host;
    server->reload.loop = server->loop;
    server->reload.admin = server->admin;
}

/* Before anything that others have made is read. */
static int confine(struct server *server, struct error *err)
{
    int result = serve_sandbox_enter(&server->options, server->listeners.private_directory,
                                     server->control, err);

    if (result == 0)
        result = serve_guard_start(&server->options.report, server->board, err);
    if (result == 0)
        result = serve_programs_seal(&server->options, server->control != NULL, err);
    return result;
}

static int set_up(struct server *server, struct error *err)
{
    struct loop_config config = { .entries = 64, .accepts = true };
    unsigned workers = server->options.threads > 0 ? server->options.threads : cpu_count();

    note_timeouts(server, &server->options);
    descriptors_raise_limit(); /* a connection is a descriptor */
    descriptors_keep_low();
    serve_guard_prepare(&server->options.report);
    int result = serve_sandbox_prepare(&server->options, &server->captive, err);
    if (result == 0)
        result = board_create(&server->board, workers, err);
    if (result == 0)
        board_keep_log(server->board);
    if (result == 0)
        result = loop_create(&server->loop, &config, err);
    if (result == 0)
        result = watch_signals(server, err);
    if (result == 0)
        result = spawner_end_watch(&server->spawner_end, server->loop, &server->offload, err);
    /* Before the key is derived: an address in use is cheap to find. */
    if (result == 0)
        result = listeners_open(&server->listeners, &server->options, err);
    if (result == 0)
        result = serve_control_open(&server->control, &server->options.control,
                                    serve_log_is_brought_along(&server->options),
                                    &server->listeners.control, err);
    if (result == 0)
        result = serve_metrics_open(&server->metrics, &server->options.metrics, err);
    if (result == 0)
        result = confine(server, err);
    if (result == 0)
        result = startup_signals_watch(&server->early_end, remove_names, server, err);
    if (result == 0)
        result = audit_start(server->options.audit_file, server->options.audit_required, err);
    if (result == 0)
        result = tls_open(&server->tls, &server->options.tls, err);
    if (result == 0)
        dead_rules_warn(&server->options, &server->listeners);
    if (result == 0)
        result = offload_create(&server->admin, 1, 0, err);
    if (result == 0)
        result = offload_create(&server->offload, OFFLOAD_THREADS, 0, err);
    if (result == 0 && server->options.tls_mode != TLS_OFF)
        result = need_handshakes(server, err);
    descriptors_give_low();
    if (result == 0)
        result = open_exports(server, workers, err);
    if (result == 0)
        report_sections_use(server->live, &server->reload.config);
    if (result == 0)
        result = serve_user_become(&server->options, server->listeners.private_directory,
                                   serve_control_path(server->control), err);
    if (result == 0)
        result = start_workers(server, workers, err);
    server->reload.workers = server->workers;
    server->reload.worker_count = server->worker_count;
    allow_reloads(server, workers);
    startup_signals_stop(&server->early_end);
    if (result == 0)
        result = descriptors_require_client((unsigned)server->listeners.count, err);
    return result;
}

/* Who handed us the sockets knows where they are, and has a use of its own for standard output:
 * `nbdcopy -- [ nbdcrypt serve ... ] -` copies to it. */
static bool has_ready_line(const struct server *server)
{
    return server->options.run == NULL && !server->listeners.activated;
}

static int begin_to_listen(struct server *server, size_t index, char **uri, struct error *err)
{
    const struct listener *listener = server->listeners.items[index].listener;
    bool tls = tls_is_demanded(server->tls.mode, listen_is_unix(listener));

    *uri = listen_uri(listener, export_set_name_to_attach(server->set, tls), tls);
    if (*uri == NULL)
        return error_no_memory(err, "for a URI");
    listeners_start(&server->listeners, index, server->loop, client_accepted, server);
    log_info("listening: %s", *uri);
    if (has_ready_line(server))
        printf("%s%s", index > 0 ? " " : "", *uri);
    return 0;
}

static void tell_ready(const struct server *server)
{
    char state[128];

    snprintf(state, sizeof state, "READY=1\nSTATUS=%zu of %zu exports are served",
             export_opening_count(&server->opening), server->opening.count);
    notify_service_manager(state);
}

static void drain(void *context)
{
    log_notice("ending, as was asked on the control socket: answering what is in flight");
    stop(context);
}

static void control_has_ended(void *context)
{
    struct server *server = context;

    loop_stop(server->loop);
}

static int start_metrics(struct server *server, struct error *err)
{
    const struct serve_metrics_host host = {
        .board = server->board,
        .places = server->places,
        .tls = &server->tls,
        .exports = server->live,
    };

    return serve_metrics_start(server->metrics, &host, err);
}

static int start_control(struct server *server, struct error *err)
{
    struct serve_control_host host = {
        .loop = server->loop,
        .admin = server->admin,
        .tls = &server->tls,
        .exports = server->live,
        .reload = &server->reload,
        .options = &server->options,
        .board = server->board,
        .metrics = server->metrics,
        .places = server->places,
        .listeners = &server->listeners,
        .workers = server->workers,
        .threads = server->worker_count,
        .log_level = serve_log_level(&server->options),
        .context = server,
        .connect = client_accepted,
        .drain = drain,
        .ended = control_has_ended,
    };

    return server->control == NULL ? 0 : serve_control_start(server->control, &host, err);
}

/* The line with the URIs; from then on clients are served. */
static int announce(struct server *server, struct error *err)
{
    int result = serve_log_start(err);
    const char *unix_path = NULL;
    char *first_uri = NULL;

    for (size_t i = 0; i < server->listeners.count && result == 0; i++) {
        char *uri = NULL;

        result = begin_to_listen(server, i, &uri, err);
        if (unix_path == NULL)
            unix_path = listen_unix_path(server->listeners.items[i].listener);
        if (i == 0)
            first_uri = uri;
        else
            free(uri);
    }
    if (result == 0)
        result = start_metrics(server, err);
    if (result == 0)
        result = start_control(server, err);
    if (result == 0)
        result = export_retry_start(&server->retry, &server->opening,
                                    server->options.retry_exports_seconds, err);
    exports_set_retry(server->live, server->retry);
    if (result == 0)
        result = serve_guard_watch(&server->watchdog, server->loop, server->workers,
                                   server->worker_count, err);
    if (result == 0)
        tell_ready(server);
    if (result == 0 && has_ready_line(server)) {
        printf("\n");
        fflush(stdout);
    } else if (result == 0 && server->options.run != NULL) {
        server->captive_ended.fn = captive_has_ended;
        result = captive_start(&server->captive, server->options.run, first_uri, unix_path,
                               server->loop, &server->captive_ended, err);
    }
    free(first_uri);
    return result;
}

/* ---- clients ---- */

/* There is no place for it.  So many at a time are told that; the others are just closed. */
static void turn_away(struct worker_thread *worker, int fd, const struct peer *peer,
                      enum place_result why, unsigned surplus)
{
    if (surplus < SURPLUS_MAX) {
        worker_thread_turn_away(worker, fd, peer, why);
        return;
    }
    close(fd);
}

/* A little less than --stall-timeout, after which the kernel's next look would come too late. */
static unsigned unacknowledged_ms(const struct server *server)
{
    unsigned seconds = server->stall_timeout_seconds;

    return seconds > 2 * KEEPALIVE_MARGIN_S ? (seconds - KEEPALIVE_MARGIN_S) * 1000 : seconds * 500;
}

static void client_accepted(void *context, int fd, const struct peer *peer)
{
    struct server *server = context;
    struct worker_thread *least = NULL;
    unsigned surplus = 0, fewest = UINT_MAX;
    struct place place;

    for (unsigned i = 0; i < server->worker_count; i++) {
        unsigned count = atomic_load(&server->workers[i]->worker.connection_count);

        surplus += atomic_load(&server->workers[i]->worker.surplus_count);
        if (count < fewest) {
            fewest = count;
            least = server->workers[i];
        }
    }
    tcp_keepalive(fd, unacknowledged_ms(server));
    enum place_result result = places_enter(server->places, &place, peer);
    if (result == PLACE_GRANTED) {
        worker_thread_connect(least, fd, peer, &place);
        return;
    }
    places_log(server->places, peer, result);
    turn_away(least, fd, peer, result, surplus);
}

/* ---- the end ---- */

static void signal_ready(struct io_event *ev, int result)
{
    struct server *server = container_of(ev, struct server, signal_event);
    int number;

    (void)result;
    while ((number = signals_next()) != 0) {
        if (number == SIGHUP) {
            reload_all(&server->reload);
            continue;
        }
        if (server->stopping && channel_clock_ms() < server->stopping_ms + SECOND_SIGNAL_MS)
            continue;
        if (server->stopping) {
            log_warning("ended by a second signal; what was not flushed may be lost");
            serve_log_drain();
            _exit(EXIT_FAILURE);
        }
        log_notice("ending: answering what is in flight");
        stop(server);
    }
    loop_poll(server->loop, &server->signal_event, server->signal_fd, POLLIN);
}

static void captive_has_ended(struct io_event *ev, int result)
{
    struct server *server = container_of(ev, struct server, captive_ended);

    server->exit_status = result;
    stop(server);
}

/* A watch that is shorter than our own does not cut it off. */
static void tell_stopping(const struct server *server)
{
    unsigned seconds = server->shutdown_timeout_seconds;
    char state[128];

    int length =
        snprintf(state, sizeof state, "STOPPING=1\nSTATUS=Ending: what is in flight is answered");
    if (seconds > 0)
        snprintf(state + length, sizeof state - (size_t)length, "\nEXTEND_TIMEOUT_USEC=%llu",
                 (seconds + STOPPING_MARGIN_S) * 1000000ull);
    notify_service_manager(state);
}

static void stop(struct server *server)
{
    if (server->stopping)
        return;
    server->stopping = true;
    server->stopping_ms = channel_clock_ms();
    shutdown_timeout_start(server->shutdown_timeout_seconds);
    tell_stopping(server);
    serve_guard_unwatch(server->watchdog, server->board);
    spawner_end_stop(server->spawner_end);
    serve_control_tell_ending(server->control);
    reload_stop(&server->reload);
    server->retry_is_left = !export_retry_stop(server->retry);
    exports_stop(server->live);
    captive_stop(&server->captive);
    listeners_stop(&server->listeners);
    for (unsigned i = 0; i < server->worker_count; i++)
        worker_thread_shutdown(server->workers[i]);
}

/* The event is a copy in a worker's message: it says which worker. */
static void worker_has_ended(struct io_event *ev, int result)
{
    struct loop_message *message = container_of(ev, struct loop_message, event);
    struct worker_thread *thread = container_of(message, struct worker_thread, ended);
    struct server *server = thread->owner;

    (void)result;
    if (++server->workers_ended < server->worker_count)
        return;
    if (server->control != NULL)
        serve_control_stop(server->control); /* control_has_ended() follows */
    else
        loop_stop(server->loop);
}

/* All that is written is safe by now, and the exports have been closed. */
static void leave_threads_behind(const struct server *server)
{
    log_info(server->retry_is_left ? "ended beside an export that was being opened"
                                   : "ended beside TLS handshakes that are still being calculated");
    key_command_end_all(); /* it may have been asked for the key */
    serve_log_drain();
    _exit(server->exit_status);
}

static void close_exports(struct server *server)
{
    report_sections_forget();
    if (server->live != NULL) {
        exports_close(server->live);
        return;
    }
    for (size_t i = 0; server->set != NULL && i < server->set->count; i++)
        if (export_is_open(server->set->exports[i]))
            export_close(server->set->exports[i]);
    export_set_free(server->set);
}

static int tear_down(struct server *server)
{
    bool all_joined = serve_metrics_stop(server->metrics);

    for (unsigned i = 0; i < server->worker_count; i++)
        all_joined &= worker_thread_join(server->workers[i]);
    offload_destroy(server->admin);
    server->retry_is_left |= !exports_join(server->live);
    if (server->workers_ended > 0 && exports_flush(server->live, server->loop) < 0)
        server->exit_status = EXIT_FAILURE;
    if (!server->retry_is_left) /* which may need it */
        offload_destroy(server->offload);
    close_exports(server);
    if (!all_joined || server->retry_is_left)
        leave_threads_behind(server);
    offload_destroy(server->handshakes);
    serve_guard_stop();
    for (unsigned i = 0; i < server->worker_count; i++)
        worker_thread_destroy(server->workers[i]);
    listeners_free(&server->listeners);
    serve_control_free(server->control);
    serve_metrics_free(server->metrics);
    tls_close(&server->tls);
    spawner_end_free(server->spawner_end);
    loop_destroy(server->loop);
    watchdog_free(server->watchdog);
    signals_unwatch();
    free(server->workers);
    free(server->places);
    for (size_t i = 0; server->opening.reasons != NULL && i < server->opening.count; i++)
        free(server->opening.reasons[i]);
    free(server->opening.reasons);
    free(server->opening.exports);
    exports_free(server->live);
    export_retry_free(server->retry);
    free(server->exports);
    reload_config_free(&server->reload.config);
    serve_options_free(&server->options);
    board_keep_log(NULL);
    board_destroy(server->board);
    return server->exit_status;
}
