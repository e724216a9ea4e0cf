#include "server/metrics/http.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <microhttpd.h>

#include "server/base/threads.h"
#include "server/metrics/http-host.h"
#include "server/metrics/metrics.h"
#include "server/metrics/status-json.h"
#include "server/metrics/status-page.h"

#define TICK_MS 500
#define STOP_SECONDS 2
#define NICE 10 /* it yields to those who serve disks */
#define CONNECTIONS_MAX (HTTP_SOCKETS_MAX * HTTP_CONNECTIONS_MAX)
#define SECOND_NS UINT64_C(1000000000)

/* A connection that is there. */
struct http_connection {
    int fd;            /* -1: this place is free */
    uint64_t since_ns; /* it was accepted, or has got its last answer */
    bool cut;
};

struct http {
    struct http_settings settings;
    struct MHD_Daemon *daemons[HTTP_SOCKETS_MAX]; /* one for each socket */
    struct http_connection connections[CONNECTIONS_MAX];
    char *policy; /* of the page */
    int wake_fd;
    atomic_bool stopping;
    sem_t ended;
    pthread_t thread;
};

bool http_is_there(void)
{
    return true;
}

/* ---- answers ---- */

struct answer {
    unsigned status;
    const char *type;
    char *text; /* freed with the response, if `owned` */
    size_t length_bytes;
    bool owned;
};

static struct answer say(unsigned status, const char *text)
{
    return (struct answer){ status, "text/plain; charset=utf-8", (char *)text, strlen(text),
                            false };
}

static struct answer no_memory(void)
{
    return say(MHD_HTTP_INTERNAL_SERVER_ERROR, "There is not enough memory.\n");
}

static enum MHD_Result add_headers(struct MHD_Response *response, const struct http *http,
                                   const struct answer *answer)
{
    const struct {
        const char *name, *value;
    } headers[] = {
        { MHD_HTTP_HEADER_CONTENT_TYPE, answer->type },
        { MHD_HTTP_HEADER_CACHE_CONTROL, "no-store" },
        { "Content-Security-Policy", http->policy },
        { "X-Content-Type-Options", "nosniff" },
        { "Referrer-Policy", "no-referrer" },
        { "Cross-Origin-Resource-Policy", "same-origin" },
        { MHD_HTTP_HEADER_ALLOW,
          answer->status == MHD_HTTP_METHOD_NOT_ALLOWED ? "GET, HEAD" : NULL },
    };
    enum MHD_Result result = MHD_YES;

    for (size_t i = 0; i < sizeof headers / sizeof headers[0] && result == MHD_YES; i++)
        if (headers[i].value != NULL)
            result = MHD_add_response_header(response, headers[i].name, headers[i].value);
    return result;
}

/* MHD_NO: the connection is closed. */
static enum MHD_Result give(struct MHD_Connection *connection, const struct http *http,
                            const struct answer *answer)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        answer->length_bytes, answer->text,
        answer->owned ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);

    if (response == NULL) {
        if (answer->owned)
            free(answer->text);
        return MHD_NO;
    }
    enum MHD_Result result = add_headers(response, http, answer);
    if (result == MHD_YES)
        result = MHD_queue_response(connection, answer->status, response);
    MHD_destroy_response(response);
    return result;
}

/* ---- what can be asked for ---- */

static struct answer get_metrics(const struct http *http, struct MHD_Connection *connection)
{
    const char *accept =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);
    bool openmetrics = accept != NULL && strstr(accept, "application/openmetrics-text") != NULL;
    struct answer answer = {
        .status = MHD_HTTP_OK,
        .type = openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                            : "text/plain; version=0.0.4; charset=utf-8",
        .owned = true,
    };

    answer.text = metrics_text(http->settings.source, openmetrics, &answer.length_bytes);
    return answer.text != NULL ? answer : no_memory();
}

static struct answer get_status(const struct http *http, struct MHD_Connection *connection)
{
    struct answer answer = { .status = MHD_HTTP_OK, .type = "application/json", .owned = true };

    (void)connection;
    answer.text = status_json(http->settings.source, &answer.length_bytes);
    return answer.text != NULL ? answer : no_memory();
}

static struct answer get_health(const struct http *http, struct MHD_Connection *connection)
{
    (void)connection;
    return status_is_healthy(http->settings.source->board)
               ? say(MHD_HTTP_OK, "All workers answer.\n")
               : say(MHD_HTTP_SERVICE_UNAVAILABLE, "A worker hangs.\n");
}

static struct answer get_page(const struct http *http, struct MHD_Connection *connection)
{
    struct answer answer = { .status = MHD_HTTP_OK, .type = "text/html; charset=utf-8" };

    (void)http;
    (void)connection;
    answer.text = (char *)status_page(&answer.length_bytes);
    return answer;
}

static struct answer get(const struct http *http, struct MHD_Connection *connection,
                         const char *path)
{
    static const struct {
        const char *path;
        struct answer (*get)(const struct http *http, struct MHD_Connection *connection);
    } paths[] = {
        { "/", get_page },
        { "/metrics", get_metrics },
        { "/status.json", get_status },
        { "/healthz", get_health },
    };

    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        if (strcmp(paths[i].path, path) == 0)
            return paths[i].get(http, connection);
    return say(MHD_HTTP_NOT_FOUND, "There are /, /metrics, /status.json and /healthz.\n");
}

/* ---- requests ---- */

/* What is refused; else NULL is in answer->text. */
static struct answer refusal(const struct http_settings *settings,
                             struct MHD_Connection *connection, const char *method)
{
    const char *host =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);

    if (!http_host_is_ours(host, settings->hosts, settings->host_count))
        return say(MHD_HTTP_MISDIRECTED_REQUEST,
                   "This server is not called by that name: ask for its address, or name it with "
                   "--metrics-hosts.\n");
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return say(MHD_HTTP_METHOD_NOT_ALLOWED, "Nothing can be changed here.\n");
    return (struct answer){ .text = NULL };
}

/* Called when the head of a request is there, for each part of its body, and at its end.  An answer
 * to the head alone closes the connection. */
static enum MHD_Result asked(void *context, struct MHD_Connection *connection, const char *path,
                             const char *method, const char *version, const char *body,
                             size_t *body_bytes, void **request)
{
    static char seen;
    const struct http *http = context;
    struct answer answer;

    (void)version;
    (void)body;
    if (*request == NULL) {
        *request = &seen;
        answer = refusal(&http->settings, connection, method);
        return answer.text != NULL ? give(connection, http, &answer) : MHD_YES;
    }
    if (*body_bytes > 0) {
        *body_bytes = 0;
        return MHD_YES;
    }
    answer = get(http, connection, path);
    return give(connection, http, &answer);
}

/* ---- connections ---- */

static struct http_connection *place_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info != NULL ? info->socket_context : NULL;
}

static struct http_connection *free_place(struct http *http)
{
    size_t i = 0;

    while (i < CONNECTIONS_MAX - 1 && http->connections[i].fd >= 0)
        i++;
    return &http->connections[i];
}

static void came_or_went(void *context, struct MHD_Connection *connection, void **place,
                         enum MHD_ConnectionNotificationCode what)
{
    struct http *http = context;

    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        struct http_connection *new = free_place(http);

        *new = (struct http_connection){ .fd = info->connect_fd, .since_ns = board_now_ns() };
        *place = new;
    } else if (*place != NULL) {
        ((struct http_connection *)*place)->fd = -1;
        *place = NULL;
    }
}

static void answered(void *context, struct MHD_Connection *connection, void **request,
                     enum MHD_RequestTerminationCode how)
{
    struct http_connection *place = place_of(connection);

    (void)context;
    (void)request;
    (void)how;
    if (place != NULL)
        place->since_ns = board_now_ns();
}

/* A byte now and then does not keep a place. */
static void cut_slow(struct http *http)
{
    uint64_t now_ns = board_now_ns();

    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        struct http_connection *one = &http->connections[i];

        if (one->fd < 0 || one->cut || now_ns < one->since_ns + HTTP_REQUEST_SECONDS * SECOND_NS)
            continue;
        one->cut = true;
        (void)shutdown(one->fd, SHUT_RDWR);
    }
}

/* ---- the thread ---- */

static int epoll_fd_of(struct MHD_Daemon *daemon)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD);

    return info != NULL ? info->listen_fd : -1;
}

/* At most a tick: it is looked then who is slow. */
static int wait_ms(const struct http *http)
{
    int least_ms = TICK_MS;

    for (size_t i = 0; i < http->settings.fd_count; i++) {
        MHD_UNSIGNED_LONG_LONG ms;

        if (MHD_get_timeout(http->daemons[i], &ms) == MHD_YES && ms < (unsigned)least_ms)
            least_ms = (int)ms;
    }
    return least_ms;
}

static void *run(void *context)
{
    struct http *http = context;
    size_t count = http->settings.fd_count;
    struct pollfd polled[HTTP_SOCKETS_MAX + 1] = { { .fd = http->wake_fd, .events = POLLIN } };

    thread_begin("nbdcrypt-http");
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
    for (size_t i = 0; i < count; i++)
        polled[i + 1] = (struct pollfd){ .fd = epoll_fd_of(http->daemons[i]), .events = POLLIN };
    while (!atomic_load(&http->stopping)) {
        (void)poll(polled, count + 1, wait_ms(http));
        for (size_t i = 0; i < count; i++)
            (void)MHD_run(http->daemons[i]);
        cut_slow(http);
    }
    for (size_t i = 0; i < count; i++)
        MHD_stop_daemon(http->daemons[i]);
    sem_post(&http->ended);
    return NULL;
}

/* ---- start and end ---- */

static struct MHD_Daemon *start_daemon(struct http *http, int fd)
{
    int own_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0); /* which it closes */
    int flags = own_fd >= 0 ? fcntl(own_fd, F_GETFL) : -1;

    if (flags < 0 || fcntl(own_fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return NULL;
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_EPOLL, 0, NULL, NULL, asked, http, MHD_OPTION_LISTEN_SOCKET, own_fd,
        MHD_OPTION_CONNECTION_LIMIT, HTTP_CONNECTIONS_MAX, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        HTTP_CONNECTIONS_OF_ONE, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_REQUEST_BYTES_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, HTTP_REQUEST_SECONDS, MHD_OPTION_NOTIFY_CONNECTION,
        came_or_went, http, MHD_OPTION_NOTIFY_COMPLETED, answered, http, MHD_OPTION_END);
    if (daemon == NULL)
        close(own_fd);
    return daemon;
}

static void release(struct http *http)
{
    if (http->wake_fd >= 0)
        close(http->wake_fd);
    sem_destroy(&http->ended);
    free(http->policy);
    free(http);
}

static int start_daemons(struct http *http, struct error *err)
{
    for (size_t i = 0; i < http->settings.fd_count; i++) {
        http->daemons[i] = start_daemon(http, http->settings.fds[i]);
        if (http->daemons[i] == NULL)
            return error_set(err, -EIO, "libmicrohttpd can't serve HTTP: %s", strerror(errno));
    }
    return 0;
}

int http_start(struct http **out, const struct http_settings *settings, struct error *err)
{
    struct http *http = calloc(1, sizeof *http);

    *out = NULL;
    if (http == NULL)
        return error_no_memory(err, "for metrics");
    http->settings = *settings;
    sem_init(&http->ended, 0, 0);
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        http->connections[i].fd = -1;
    http->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    http->policy = status_page_policy();
    int result = http->wake_fd < 0 || http->policy == NULL ? error_no_memory(err, "for metrics")
                                                           : start_daemons(http, err);
    if (result == 0) {
        result = -pthread_create(&http->thread, NULL, run, http);
        if (result < 0)
            error_set(err, result, "a thread for metrics could not be started: %s",
                      strerror(-result));
    }
    if (result == 0) {
        *out = http;
        return 0;
    }
    for (size_t i = 0; i < HTTP_SOCKETS_MAX; i++)
        if (http->daemons[i] != NULL)
            MHD_stop_daemon(http->daemons[i]);
    release(http);
    return result;
}

bool http_stop(struct http *http)
{
    struct timespec until;

    if (http == NULL)
        return true;
    atomic_store(&http->stopping, true);
    (void)!write(http->wake_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += STOP_SECONDS;
    int result;
    do
        result = sem_clockwait(&http->ended, CLOCK_MONOTONIC, &until);
    while (result != 0 && errno == EINTR);
    if (result != 0)
        return false;
    pthread_join(http->thread, NULL);
    release(http);
    return true;
}
