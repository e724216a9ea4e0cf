/* A disk of another NBD server.
 *
 *     layer (worker 0) ---- its own link ------------------\
 *     layer (worker 1) ---- its own link ------------------- remote server
 *            \------ messages: FLUSH ---- primary link ----/
 *                                          (a thread of this export)
 *
 * Each worker has a connection of its own when the server allows several; FLUSH, or everything
 * when it does not, goes to the primary, which is there from open to close: it is the witness
 * that the server has not been restarted (remote-ledger.h). */
#include "plugins/remote/remote.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/remote/remote-dial-thread.h"
#include "plugins/remote/remote-command.h"
#include "plugins/remote/remote-link.h"
#include "server/base/log.h"
#include "server/base/threads.h"
#include "server/nbd/nbd-uri.h"
#include "server/report/report-tree.h"

#define OPEN_DEADLINE_MS 10000u
#define OPEN_GRACE_MS 500u
#define RETRY_DEFAULT_S 30u
#define LOOP_ENTRIES 64u

struct remote_parameters {
    const char *socket;
    char *tls_certificates;
    char *tls_psk_file;
    unsigned retry_s;
    unsigned timeout_s;
};

#define FIELD(name) offsetof(struct remote_parameters, name)

static const struct param remote_params[] = {
    PARAM("socket", STRING, "PATH", socket, "the server's Unix socket"),
    PARAM(
        "tls-certificates", STRING, "DIR", tls_certificates,
        "ca-cert.pem to verify the server with; client-cert.pem and client-key.pem to be verified"),
    PARAM("tls-psk-file", STRING, "FILE", tls_psk_file, "the shared secret of the user in the URI"),
    PARAM("retry-for", UINT, "SECONDS", retry_s,
          "how long requests wait for a server that went away; 0: they fail at once (default: 30)",
          .max = 86400),
    PARAM("timeout", UINT, "SECONDS", timeout_s,
          "how long the server may take to answer a request; 0: for ever (default: 0)",
          .max = 86400),
    { .name = NULL },
};

struct remote_stage {
    struct stage stage;
    struct remote_server server;
    struct remote_parameters parameters;
    char *parameter_text; /* what `parameters` points into */
    const char *scheme;
    bool forward_all; /* the server allows one connection only */

    /* The primary link and its thread. */
    pthread_t thread;
    bool has_thread;
    struct loop *loop;
    struct remote_link *primary;
    struct remote_connection first; /* until the link has it */
    struct loop_message stop;
    sem_t started;
    int start_code;
    struct error *start_error;
};

struct remote_layer {
    struct layer layer;
    struct remote_link *link; /* NULL: everything goes to the primary */
};

static struct remote_stage *stage_of(const struct layer *layer)
{
    return container_of(layer->stage, struct remote_stage, stage);
}

/* ---- the URI ---- */

/* Without what is not part of an NBD URI: of the query, "socket" alone. */
static char *server_uri(const char *scheme, const struct stage_settings *settings)
{
    const char *query = settings->params->text != NULL ? settings->params->text : "";
    const char *socket = NULL;
    size_t socket_bytes = 0;
    char *uri;

    while (*query != '\0') {
        size_t bytes = strcspn(query, "&");

        if (bytes > 7 && strncmp(query, "socket=", 7) == 0) {
            socket = query;
            socket_bytes = bytes;
        }
        query += bytes + (query[bytes] == '&');
    }
    int length = asprintf(&uri, "%s:%s%s%.*s", scheme, settings->path, socket != NULL ? "?" : "",
                          (int)socket_bytes, socket != NULL ? socket : "");
    return length < 0 ? NULL : uri;
}

static char *identity_of_socket(const struct nbd_uri *uri)
{
    char *path = realpath(uri->socket_path, NULL), *text;
    int length =
        asprintf(&text, "unix:%s/%s", path != NULL ? path : uri->socket_path, uri->export_name);

    free(path);
    return length < 0 ? NULL : text;
}

/* Of a name the case, of an address how it is written makes no difference. */
static char *identity_of_host(const struct nbd_uri *uri)
{
    char host[INET6_ADDRSTRLEN], *text;
    unsigned char address[sizeof(struct in6_addr)];
    const char *shown = inet_pton(AF_INET6, uri->host, address) == 1
                            ? inet_ntop(AF_INET6, address, host, sizeof host)
                            : uri->host;

    if (asprintf(&text, "tcp:%s:%lu/%s", shown, strtoul(uri->port, NULL, 10), uri->export_name) < 0)
        return NULL;
    for (char *at = text; *at != '/'; at++)
        *at = (char)tolower((unsigned char)*at);
    return text;
}

/* With TLS or without, and as whatever user: the same disk. */
static char *remote_identify(const char *scheme, const struct stage_settings *settings)
{
    char *text = server_uri(scheme, settings), *identity = NULL;
    struct error ignored;
    struct nbd_uri uri;

    if (text != NULL && nbd_uri_parse(&uri, text, &ignored) == 0) {
        identity = uri.socket_path != NULL ? identity_of_socket(&uri) : identity_of_host(&uri);
        nbd_uri_free(&uri);
    }
    free(text);
    return identity;
}

static int check_uri(const struct remote_stage *remote, const char *path, struct error *err)
{
    const struct remote_parameters *given = &remote->parameters;
    bool on_unix = strstr(remote->scheme, "+unix") != NULL;
    bool tls = strncmp(remote->scheme, "nbds", 4) == 0;

    if (strncmp(path, "//", 2) != 0)
        return error_set(err, -EINVAL, "it has to be %s://%s", remote->scheme,
                         on_unix ? "/EXPORT?socket=PATH" : "HOST:PORT/EXPORT");
    if (on_unix != (given->socket != NULL))
        return error_set(err, -EINVAL,
                         on_unix ? "socket=PATH is missing behind the '?'"
                                 : "socket=PATH is for nbd+unix:// only");
    if (!tls && (given->tls_certificates != NULL || given->tls_psk_file != NULL))
        return error_set(err, -EINVAL, "TLS files are given, but %s:// has no TLS; write nbds%s://",
                         remote->scheme, on_unix ? "+unix" : "");
    if (tls && (given->tls_certificates != NULL) == (given->tls_psk_file != NULL))
        return error_set(err, -EINVAL,
                         "give either tls-certificates=DIR or tls-psk-file=FILE "
                         "behind the '?': what the server has to prove itself with");
    if (on_unix && given->tls_certificates != NULL)
        return error_set(err, -EINVAL,
                         "a server on a Unix socket has no host name that its "
                         "certificate could be compared with; use tls-psk-file=FILE");
    return 0;
}

static int parse(struct remote_stage *remote, const struct stage_settings *settings,
                 struct error *err)
{
    const char *text = settings->params->text != NULL ? settings->params->text : "";
    struct remote_parameters *given = &remote->parameters;
    struct remote_server *server = &remote->server;

    given->retry_s = RETRY_DEFAULT_S;
    remote->parameter_text = strdup(text);
    char *uri = server_uri(remote->scheme, settings);
    if (remote->parameter_text == NULL || uri == NULL ||
        asprintf(&server->name, "image '%s'", uri) < 0) {
        free(uri);
        server->name = NULL;
        return error_no_memory(err, NULL);
    }
    int result = params_parse_pairs(given, remote_params, remote->parameter_text, '&', err);
    if (result == 0)
        result = check_uri(remote, settings->path, err);
    const struct remote_address address = {
        .uri = uri,
        .tls_certificates = given->tls_certificates,
        .tls_psk_file = given->tls_psk_file,
    };
    if (remote_address_copy(&server->address, &address) < 0 && result == 0)
        result = error_no_memory(err, NULL);
    free(uri);
    server->retry_ms = given->retry_s * 1000;
    server->timeout_ms = given->timeout_s * 1000;
    return result;
}

/* ---- the primary's thread ---- */

static void request_returned(struct io_event *ev, int result)
{
    struct request *req = container_of(ev, struct request, job.done.event);

    if (req->view.op == REQUEST_FLUSH && result != 0 && req->flusher != NULL)
        remote_ledger_flush_failed(req->flusher, req->view.offset_bytes);
    request_complete(req, result);
}

/* The primary's thread: back to the worker that asked. */
static void send_back(struct request *req, int error)
{
    req->job.done.event.fn = request_returned;
    req->job.done.result = error;
    loop_post(req->backend->loop, &req->job.done);
}

static void request_arrived(struct io_event *ev, int result)
{
    struct request *req = container_of(ev, struct request, job.done.event);

    (void)result;
    remote_link_submit(stage_of(req->backend)->primary, req);
}

/* A worker's thread. */
static void forward(struct request *req)
{
    req->job.done.event.fn = request_arrived;
    loop_post(stage_of(req->backend)->loop, &req->job.done);
}

static void stop_here(struct io_event *ev, int result)
{
    struct remote_stage *remote = container_of(ev, struct remote_stage, stop.event);

    (void)result;
    loop_stop(remote->loop);
}

static int primary_start(struct remote_stage *remote)
{
    struct loop_config config = { .entries = LOOP_ENTRIES };
    struct remote_link_settings settings = {
        .server = &remote->server,
        .connection = &remote->first,
        .answer = send_back,
    };
    int result = loop_create(&remote->loop, &config, remote->start_error);

    if (result < 0)
        return result;
    settings.loop = remote->loop;
    result = remote_link_create(&remote->primary, &settings, remote->start_error);
    if (result < 0)
        loop_destroy(remote->loop);
    return result;
}

static void *primary_thread(void *context)
{
    struct remote_stage *remote = context;

    thread_begin("nbdcrypt-remote");
    int result = remote->start_code = primary_start(remote);

    sem_post(&remote->started);
    if (result < 0)
        return NULL;
    loop_run(remote->loop);
    remote_link_destroy(remote->primary);
    loop_destroy(remote->loop);
    return NULL;
}

static int start_thread(struct remote_stage *remote, struct error *err)
{
    sem_init(&remote->started, 0, 0);
    remote->start_error = err;
    remote->stop.event.fn = stop_here;
    int result = -pthread_create(&remote->thread, NULL, primary_thread, remote);
    if (result < 0) {
        error_set(err, result, "a thread could not be started: %s", strerror(-result));
    } else {
        while (sem_wait(&remote->started) != 0)
            ;
        result = remote->start_code;
        remote->has_thread = result == 0;
        if (result < 0)
            pthread_join(remote->thread, NULL);
    }
    sem_destroy(&remote->started);
    remote->start_error = NULL;
    return result;
}

/* ---- opening ---- */

static const struct {
    size_t offset;
    enum request_op op;
} optional_ops[] = {
    { offsetof(struct remote_features, flush), REQUEST_FLUSH },
    { offsetof(struct remote_features, trim), REQUEST_TRIM },
    { offsetof(struct remote_features, zero), REQUEST_ZERO },
    { offsetof(struct remote_features, cache), REQUEST_CACHE },
    { offsetof(struct remote_features, extents), REQUEST_EXTENTS },
};

/* What all our clients see is consistent even if the server allows one connection only: then
 * they share it. */
static struct limits limits_of(const struct remote_features *features, bool read_only)
{
    struct limits limits = {
        .size_bytes = features->size_bytes,
        .block_min_bytes = features->block_min_bytes,
        .block_preferred_bytes = features->block_preferred_bytes,
        .phase_bytes = 1,
        .ops = OP_BIT(REQUEST_READ) | OP_BIT(REQUEST_WRITE),
        .fua = features->fua || features->flush, /* remote_command_needs_flush() */
        .read_only = features->read_only || read_only,
        .rotational = features->rotational,
        .tells_zeros = features->extents,
        .multi_conn = true,
    };

    for (size_t i = 0; i < sizeof optional_ops / sizeof optional_ops[0]; i++)
        if (*(const bool *)((const char *)features + optional_ops[i].offset))
            limits.ops |= OP_BIT(optional_ops[i].op);
    return limits;
}

static void remote_close(struct stage *stage)
{
    struct remote_stage *remote = container_of(stage, struct remote_stage, stage);

    if (remote->has_thread) {
        loop_post(remote->loop, &remote->stop);
        pthread_join(remote->thread, NULL);
    }
    remote_connection_close(&remote->first);
    remote_address_clear(&remote->server.address);
    remote_syncs_destroy(&remote->server.syncs);
    free(remote->server.name);
    free(remote->parameter_text);
    free(remote);
}

/* Which metadata contexts there are is asked once; each connection asks for those. */
static void keep_contexts(struct remote_stage *remote, struct remote_listed *listed)
{
    struct remote_server *server = &remote->server;
    const char *refusal = remote->first.terms.contexts_refusal;

    if (listed->left_out > 0)
        log_write_of(LOG_WARNING, server->name,
                     "%u metadata contexts of the server are not passed on: clients see at most "
                     "%u, with names of together %u bytes in clean UTF-8",
                     listed->left_out, META_CONTEXTS_MAX - 1, META_CONTEXTS_NAMES_BYTES_MAX);
    if (refusal != NULL)
        log_write_of(LOG_WARNING, server->name,
                     "the metadata contexts of the server are not passed on: %s: it was asked once "
                     "more, for base:allocation alone%s",
                     refusal, server->features.extents ? "" : ", which it does not have");
    if (!server->features.extents || listed->contexts.count == 0 || refusal != NULL)
        return;
    server->address.contexts = listed->contexts;
    listed->contexts = (struct meta_contexts){ .count = 0 };
    remote->stage.contexts = &server->address.contexts;
}

/* The caller waits, but not for a name to be looked up as long as that may take. */
static int dial_first(struct remote_stage *remote, bool list_contexts, struct error *err)
{
    struct remote_server *server = &remote->server;
    const struct remote_dial_thread_settings settings = { .address = &server->address,
                                                          .list_contexts = list_contexts,
                                                          .deadline_ms = OPEN_DEADLINE_MS };
    struct remote_dial_thread *attempt;
    int result = remote_dial_thread_start(&attempt, &settings, err);

    if (result < 0)
        return result;
    if (!remote_dial_thread_wait(attempt, OPEN_DEADLINE_MS + OPEN_GRACE_MS)) {
        (void)remote_dial_thread_leave(attempt);
        return error_set(err, -ETIMEDOUT,
                         "the server can't be reached: its name was not found within %u seconds",
                         OPEN_DEADLINE_MS / 1000);
    }
    result = attempt->done.result;
    server->features = attempt->features;
    remote->first = attempt->connection;
    attempt->connection = (struct remote_connection){ .fd = -1 };
    keep_contexts(remote, &attempt->listed);
    if (result < 0)
        error_set(err, result, "%s", attempt->error.text);
    remote_dial_thread_free(attempt);
    return result;
}

static int remote_open(struct stage **out, const struct stage_settings *settings,
                       const struct layer_ops *ops, struct error *err)
{
    struct remote_stage *remote = calloc(1, sizeof *remote);

    if (remote == NULL)
        return error_no_memory(err, NULL);
    struct remote_server *server = &remote->server;
    remote->first.fd = -1;
    remote_syncs_init(&server->syncs);
    remote->stage.ops = ops;
    remote->scheme = ops->name;
    int result = parse(remote, settings, err);
    if (result == 0)
        result = dial_first(remote, settings->options.contexts, err);
    if (result == 0)
        result = start_thread(remote, err);
    if (result < 0) {
        remote_close(&remote->stage);
        return result;
    }
    remote->forward_all = !server->features.multi_conn;
    remote->stage.limits = limits_of(&server->features, settings->options.read_only);
    *out = &remote->stage;
    return 0;
}

/* ---- one worker ---- */

static int remote_attach(struct layer **out, struct stage *stage, struct layer *below,
                         struct loop *loop, struct error *err)
{
    struct remote_stage *remote = container_of(stage, struct remote_stage, stage);
    struct remote_layer *layer = calloc(1, sizeof *layer);

    if (layer == NULL)
        return error_no_memory(err, NULL);
    layer->layer =
        (struct layer){ .ops = stage->ops, .stage = stage, .below = below, .loop = loop };
    if (!remote->forward_all) {
        struct remote_link_settings settings = {
            .server = &remote->server,
            .loop = loop,
            .starter = remote->loop,
            .answer = request_complete,
            .give_over = forward,
        };
        int result = remote_link_create(&layer->link, &settings, err);

        if (result < 0) {
            free(layer);
            return result;
        }
    }
    *out = &layer->layer;
    return 0;
}

/* On a worker that goes on serving others. */
static void remote_leave(struct layer *layer, struct io_event *ev)
{
    struct remote_layer *remote = container_of(layer, struct remote_layer, layer);

    if (remote->link != NULL)
        remote_link_leave(remote->link, ev);
    else
        ev->fn(ev, 0);
}

static void remote_detach(struct layer *layer)
{
    struct remote_layer *remote = container_of(layer, struct remote_layer, layer);

    remote_link_destroy(remote->link);
    free(remote);
}

static void remote_submit(struct layer *layer, struct request *req)
{
    struct remote_layer *remote = container_of(layer, struct remote_layer, layer);

    struct remote_server *server = &stage_of(layer)->server;

    req->backend = layer;
    if (req->view.op == REQUEST_FLUSH)
        req->view.offset_bytes = remote_ledger_flush_mark(&server->ledger, req->flusher);
    if (remote->link == NULL || req->view.op == REQUEST_FLUSH ||
        remote_command_needs_flush(req, &server->features))
        forward(req);
    else
        remote_link_submit(remote->link, req);
}

/* ---- the account of answered writes ---- */

static struct remote_ledger *ledger_of(const struct layer *layer)
{
    return &stage_of(layer)->server.ledger;
}

static void flusher_begins(struct layer *layer, struct flusher *flusher)
{
    remote_ledger_flusher_begin(ledger_of(layer), flusher);
}

static void writes_answered(struct layer *layer, unsigned count, uint32_t oldest_epoch)
{
    remote_ledger_answered(ledger_of(layer), count, oldest_epoch);
}

static void flusher_ends(struct layer *layer, struct flusher *flusher, bool in_good_order)
{
    remote_ledger_flusher_end(ledger_of(layer), flusher, in_good_order);
}

static const struct flush_account_ops account = {
    .begin = flusher_begins,
    .answered = writes_answered,
    .end = flusher_ends,
};

static bool remote_is_lost(const struct stage *stage)
{
    return atomic_load(&container_of(stage, const struct remote_stage, stage)->server.lost);
}

/* ---- four schemes, one backend ---- */

static int open_tcp(struct stage **out, const struct stage_settings *settings, struct error *err)
{
    return remote_open(out, settings, &remote_tcp_ops, err);
}

static int open_tcp_tls(struct stage **out, const struct stage_settings *settings,
                        struct error *err)
{
    return remote_open(out, settings, &remote_tcp_tls_ops, err);
}

static int open_unix(struct stage **out, const struct stage_settings *settings, struct error *err)
{
    return remote_open(out, settings, &remote_unix_ops, err);
}

static int open_unix_tls(struct stage **out, const struct stage_settings *settings,
                         struct error *err)
{
    return remote_open(out, settings, &remote_unix_tls_ops, err);
}

static void remote_report(const struct stage *stage, struct report_tree *tree,
                          struct report_node *of)
{
    const struct remote_stage *remote = container_of(stage, struct remote_stage, stage);

    report_flag(tree, of, "given_up", atomic_load(&remote->server.away));
    report_flag(tree, of, "one_connection", remote->forward_all);
    report_number(tree, of, "retry_ms", remote->server.retry_ms);
    report_number(tree, of, "timeout_ms", remote->server.timeout_ms);
}

#define REMOTE_OPS(scheme, form, open_function)                                         \
    {                                                                                   \
        .name = scheme, .description = form ", a remote disk", .params = remote_params, \
        .open = open_function, .attach = remote_attach, .submit = remote_submit,        \
        .leave = remote_leave, .detach = remote_detach, .close = remote_close,          \
        .account = &account, .is_lost = remote_is_lost, .report = remote_report,        \
        .identify = remote_identify,                                                    \
    }

const struct layer_ops remote_tcp_ops = REMOTE_OPS("nbd", "nbd://HOST[:PORT]/[EXPORT]", open_tcp);
const struct layer_ops remote_tcp_tls_ops =
    REMOTE_OPS("nbds", "nbds://HOST[:PORT]/[EXPORT]?tls-certificates=DIR", open_tcp_tls);
const struct layer_ops remote_unix_ops =
    REMOTE_OPS("nbd+unix", "nbd+unix:///[EXPORT]?socket=PATH", open_unix);
const struct layer_ops remote_unix_tls_ops = REMOTE_OPS(
    "nbds+unix", "nbds+unix://USER@/[EXPORT]?socket=PATH&tls-psk-file=FILE", open_unix_tls);
