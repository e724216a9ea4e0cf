#include "server/serve/reload-server.h"

#include <errno.h>
#include <time.h>

#include "server/access/places.h"
#include "server/base/memory-limit.h"
#include "server/tls/tls.h"

#define WORKER_BUFFERS_LEAST_BYTES (2u * BUFFER_PIECE_BYTES)
#define CONNECTIONS_OF_A_COPY \
    4u /* nbdcopy opens up to so many where the server can do with several */
#define LOOK_AT_STOP_NS 50000000L

/* ---- what options mean ---- */

/* Each worker's part of the memory for data buffers. */
static uint64_t buffers_max_bytes(const struct serve_options *options, unsigned workers)
{
    uint64_t all_bytes = options->memory_max_bytes;

    if (all_bytes == 0)
        all_bytes = memory_limit_bytes() / 2;
    if (all_bytes == 0)
        return SIZE_MAX;
    uint64_t part_bytes = all_bytes / workers;
    return part_bytes > WORKER_BUFFERS_LEAST_BYTES ? part_bytes : WORKER_BUFFERS_LEAST_BYTES;
}

struct worker_terms worker_terms_of(const struct serve_options *options, unsigned workers)
{
    unsigned share_max =
        places_share_max(options->max_connections, options->max_connections_per_client);

    return (struct worker_terms){
        .tls_mode = options->tls_mode,
        .handshake_timeout_ms = options->handshake_timeout_seconds * 1000,
        .stall_timeout_ms = options->stall_timeout_seconds * 1000,
        /* The other half is for storage. */
        .drain_max_ms = options->shutdown_timeout_seconds * 1000 / 2,
        .buffers_max_bytes = buffers_max_bytes(options, workers),
        .no_multi_conn =
            options->max_connections < CONNECTIONS_OF_A_COPY || share_max < CONNECTIONS_OF_A_COPY,
        .no_extended_headers = options->no_extended_headers,
    };
}

/* ---- what can fail ---- */

static int prepare_tls(struct reload_server *reload, struct error *err)
{
    const struct reload_host *host = reload->host;
    int result = tls_prepare(&reload->credentials, host->tls, &reload->next->tls, err);

    if (result == 0 && reload->tls_mode != TLS_OFF)
        result = host->need_handshakes(host->context, err);
    return result;
}

static int prepare_rules(struct reload_server *reload, struct error *err)
{
    return control_options_rules(&reload->rules, &reload->next->control, err);
}

static int prepare_listeners(struct reload_server *reload, struct error *err)
{
    return listeners_prepare(&reload->listeners, reload->host->listeners, reload->next, err);
}

int reload_server_prepare(struct reload_server *out, const struct reload_host *host,
                          const struct serve_options *next, struct error *err)
{
    static int (*const steps[])(struct reload_server * reload, struct error * err) = {
        prepare_tls,
        prepare_rules,
        prepare_listeners,
    };
    int result = 0;

    *out = (struct reload_server){ .host = host,
                                   .next = next,
                                   .tls_mode = next->tls_mode,
                                   .terms = worker_terms_of(next, host->workers) };
    for (size_t i = 0; i < sizeof steps / sizeof steps[0] && result == 0; i++)
        result = steps[i](out, err);
    if (result < 0)
        reload_server_undo(out);
    return result;
}

void reload_server_undo(struct reload_server *reload)
{
    tls_forget(reload->credentials);
    listeners_undo(reload->listeners);
    control_rules_free(&reload->rules);
    reload->credentials = NULL;
    reload->listeners = NULL;
}

/* ---- what can't ---- */

void reload_server_begin(struct reload_server *reload)
{
    const struct reload_host *host = reload->host;
    const struct serve_options *next = reload->next;

    /* Whoever is told that there is TLS finds it, whichever way the mode changes. */
    if (reload->tls_mode != TLS_OFF)
        tls_use(host->tls, &next->tls, reload->credentials);
    places_set_limits(host->places, next->max_connections, next->max_connections_per_client);
    exports_set_open_timeout(host->exports, next->open_timeout_seconds);
}

static void commit_on_main(struct io_event *ev, int result)
{
    struct reload_server *reload = container_of(ev, struct reload_server, message.event);
    const struct reload_host *host = reload->host;

    (void)result;
    listeners_commit(host->listeners);
    host->changed(host->context, reload->next, &reload->rules);
    atomic_store(&reload->is_done, true);
    sem_post(&reload->done);
}

static bool is_done(struct reload_server *reload)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += LOOK_AT_STOP_NS;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    return sem_clockwait(&reload->done, CLOCK_MONOTONIC, &until) == 0 &&
           atomic_load(&reload->is_done);
}

void reload_server_end(struct reload_server *reload, const atomic_bool *stopped)
{
    const struct reload_host *host = reload->host;

    if (reload->tls_mode == TLS_OFF)
        tls_use(host->tls, &reload->next->tls, NULL);
    listeners_coming(host->listeners, reload->listeners);
    sem_init(&reload->done, 0, 0);
    reload->message.event.fn = commit_on_main;
    loop_post(host->loop, &reload->message);
    while (!is_done(reload) && !atomic_load(stopped))
        continue;
}
