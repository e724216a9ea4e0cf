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
#include "server/metrics/http-guest.h"
#include "server/metrics/http-host.h"
#include "server/metrics/http-places.h"
#include "server/metrics/metrics.h"
#include "server/metrics/status-json.h"
#include "server/metrics/status-page.h"

#define TICK_MS 500
#define STOP_SECONDS 2
#define NICE 10            /* it yields to those who serve disks */
#define ACCEPTS_A_ROUND 8u /* fewer than places of one: none of them is cut for another */

/* A socket that listens. */
struct http_socket {
    struct http *http;
    int fd; /* of our own */
    bool tls;
    bool tired; /* there was no room for one that came: later */
    struct MHD_Daemon *daemon;
    struct http_places places;
};

struct http {
    struct http_settings settings;
    struct http_socket sockets[HTTP_SOCKETS_MAX];
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

bool http_has_tls(void)
{
    return MHD_is_feature_supported(MHD_FEATURE_TLS) == MHD_YES;
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

static struct http_place *place_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info != NULL ? info->socket_context : NULL;
}

static bool may_ask(const struct http_settings *settings, struct MHD_Connection *connection)
{
    const struct http_place *place = place_of(connection);

    return place != NULL && place->guest != NULL && http_guest_may(place->guest, settings->access);
}

/* What is refused; else NULL is in answer->text. */
static struct answer refusal(const struct http_settings *settings,
                             struct MHD_Connection *connection, const char *method)
{
    const char *host =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);

    if (!may_ask(settings, connection))
        return say(MHD_HTTP_FORBIDDEN, "No --metrics-allow rule matches you.\n");
    if (!http_host_is_ours(host, settings->hosts, settings->host_count))
        return say(MHD_HTTP_MISDIRECTED_REQUEST,
                   "This server is not called by that name: ask for its address, or name it with "
                   "--metrics-hosts.\n");
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return say(MHD_HTTP_METHOD_NOT_ALLOWED, "Nothing can be changed here.\n");
    return (struct answer){ .text = NULL };
}

static void put_stage(struct MHD_Connection *connection, enum http_stage stage)
{
    struct http_place *place = place_of(connection);

    if (place != NULL)
        place->stage = stage;
}

/* Called when the first line of a request is there. */
static void *begins_to_ask(void *context, const char *uri, struct MHD_Connection *connection)
{
    (void)context;
    (void)uri;
    put_stage(connection, HTTP_SPEAKS);
    return NULL;
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
        put_stage(connection, HTTP_IS_ASKED);
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

/* By the session that the library has made of it: it does the handshake, with what we demand. */
static struct http_guest *receive(const struct http *http, struct MHD_Connection *connection,
                                  int fd)
{
    const union MHD_ConnectionInfo *tls =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    struct http_guest *guest =
        http_guest_create(fd, tls != NULL ? tls->tls_session : NULL, http->settings.tls);

    if (guest == NULL)
        (void)shutdown(fd, SHUT_RDWR);
    return guest;
}

static void came_or_went(void *context, struct MHD_Connection *connection, void **place,
                         enum MHD_ConnectionNotificationCode what)
{
    struct http_socket *listening = context;

    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        struct http_place *new = http_places_find(&listening->places, info->connect_fd);

        if (new != NULL) {
            new->begun = true;
            new->guest = receive(listening->http, connection, info->connect_fd);
        } else {
            (void)shutdown(info->connect_fd, SHUT_RDWR);
        }
        *place = new;
    } else if (*place != NULL) {
        http_guest_free(((struct http_place *)*place)->guest);
        http_place_leave(*place);
        *place = NULL;
    }
}

static void answered(void *context, struct MHD_Connection *connection, void **request,
                     enum MHD_RequestTerminationCode how)
{
    struct http_place *place = place_of(connection);

    (void)context;
    (void)request;
    (void)how;
    if (place == NULL)
        return;
    place->stage = HTTP_SILENT;
    place->was_answered = true;
    place->since_ns = board_now_ns();
}

/* False: none came, or none can come now. */
static bool accept_one(struct http_socket *listening)
{
    struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
    socklen_t bytes = sizeof address;
    int fd =
        accept4(listening->fd, (struct sockaddr *)&address, &bytes, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0) {
        listening->tired = errno != EAGAIN && errno != EINTR && errno != ECONNABORTED;
        return false;
    }
    struct http_place *place =
        http_places_enter(&listening->places, fd, http_owner(fd, &address), board_now_ns());
    if (MHD_add_connection(listening->daemon, fd, (struct sockaddr *)&address, bytes) != MHD_YES)
        http_place_leave(place); /* it has closed it */
    return true;
}

/* Those whom the library did not want, for want of memory. */
static void forget_unwanted(struct http_places *places)
{
    for (size_t i = 0; i < HTTP_PLACES_MOST; i++)
        if (places->all[i].fd >= 0 && !places->all[i].begun)
            http_place_leave(&places->all[i]);
}

static void serve_socket(struct http_socket *listening)
{
    unsigned count = 0;

    while (count < ACCEPTS_A_ROUND && http_places_have_room(&listening->places) &&
           accept_one(listening))
        count++;
    (void)MHD_run(listening->daemon); /* it takes those who came */
    if (count > 0)
        (void)MHD_run(listening->daemon); /* it answers what they have sent */
    forget_unwanted(&listening->places);
    http_places_cut_slow(&listening->places, board_now_ns());
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

        if (MHD_get_timeout(http->sockets[i].daemon, &ms) == MHD_YES && ms < (unsigned)least_ms)
            least_ms = (int)ms;
    }
    return least_ms;
}

static void wait_for_work(struct http *http)
{
    struct pollfd polled[2 * HTTP_SOCKETS_MAX + 1] = { { .fd = http->wake_fd, .events = POLLIN } };
    nfds_t count = 1;

    for (size_t i = 0; i < http->settings.fd_count; i++) {
        struct http_socket *one = &http->sockets[i];

        polled[count++] = (struct pollfd){ .fd = epoll_fd_of(one->daemon), .events = POLLIN };
        if (!one->tired && http_places_have_room(&one->places))
            polled[count++] = (struct pollfd){ .fd = one->fd, .events = POLLIN };
        one->tired = false;
    }
    (void)poll(polled, count, wait_ms(http));
}

static void *run(void *context)
{
    struct http *http = context;

    thread_begin("nbdcrypt-http");
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
    while (!atomic_load(&http->stopping)) {
        wait_for_work(http);
        for (size_t i = 0; i < http->settings.fd_count; i++)
            serve_socket(&http->sockets[i]);
    }
    for (size_t i = 0; i < http->settings.fd_count; i++)
        MHD_stop_daemon(http->sockets[i].daemon);
    sem_post(&http->ended);
    return NULL;
}

/* ---- start and end ---- */

static struct MHD_Daemon *start_daemon(struct http *http, struct http_socket *listening)
{
    return MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | (listening->tls ? MHD_USE_TLS : 0), 0, NULL,
        NULL, asked, http, MHD_OPTION_HTTPS_CRED_TYPE, HTTP_GUEST_CREDENTIALS,
        MHD_OPTION_CONNECTION_LIMIT, HTTP_PLACES_MOST, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)HTTP_REQUEST_BYTES_MAX, MHD_OPTION_CONNECTION_TIMEOUT, HTTP_REQUEST_SECONDS,
        MHD_OPTION_NOTIFY_CONNECTION, came_or_went, listening, MHD_OPTION_NOTIFY_COMPLETED,
        answered, http, MHD_OPTION_URI_LOG_CALLBACK, begins_to_ask, http, MHD_OPTION_END);
}

static void release(struct http *http)
{
    for (size_t i = 0; i < HTTP_SOCKETS_MAX; i++)
        if (http->sockets[i].fd >= 0)
            close(http->sockets[i].fd);
    if (http->wake_fd >= 0)
        close(http->wake_fd);
    sem_destroy(&http->ended);
    free(http->policy);
    free(http);
}

static int start_socket(struct http *http, struct http_socket *listening, int fd)
{
    listening->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    int flags = listening->fd >= 0 ? fcntl(listening->fd, F_GETFL) : -1;

    if (flags < 0 || fcntl(listening->fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    listening->daemon = start_daemon(http, listening);
    return listening->daemon != NULL ? 0 : -EIO;
}

static int start_sockets(struct http *http, struct error *err)
{
    for (size_t i = 0; i < http->settings.fd_count; i++) {
        http->sockets[i].http = http;
        http->sockets[i].tls = http->settings.is_tls[i];
        int result = start_socket(http, &http->sockets[i], http->settings.fds[i]);

        if (result < 0)
            return error_set(err, result, "libmicrohttpd can't serve HTTP: %s", strerror(-result));
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
    for (size_t i = 0; i < HTTP_SOCKETS_MAX; i++) {
        http->sockets[i].fd = -1;
        http_places_init(&http->sockets[i].places);
    }
    http->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    http->policy = status_page_policy();
    int result = http->wake_fd < 0 || http->policy == NULL ? error_no_memory(err, "for metrics")
                                                           : start_sockets(http, err);
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
        if (http->sockets[i].daemon != NULL)
            MHD_stop_daemon(http->sockets[i].daemon);
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
