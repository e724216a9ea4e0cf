#include "server/serve/listen.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <libgen.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/base/log.h"
#include "server/base/retry.h"
#include "server/sandbox/sandbox.h"

#define BACKLOG 1024
#define UNIX_SEND_BUFFER_BYTES (400 * 1024) /* the kernel doubles it, for its own use */
#define RETRY_MS 100u                       /* after the kernel had no memory */
#define TRIES_FOR_A_LOOK 25u /* at a socket in use: who serves there sees each as a client */
#define RETRY_TURNED_AWAY_MS 10u
#define ACTIVATED_FD_FIRST 3

/* A name that is a socket's today may be another one's tomorrow. */
struct socket_identity {
    dev_t device;
    ino_t inode;
};

struct listener {
    int fd;
    int reserve_fd;  /* given up where there is no other descriptor, to turn a client away; -1: none
                      */
    char *unix_path; /* absolute; NULL: TCP */
    bool unlink_path;
    struct socket_identity bound;  /* of unix_path, if unlink_path */
    struct unix_permissions first; /* of the same: as it was made, when nobody said anything */
    bool stopping;
    bool retired; /* it frees itself */
    struct loop *loop;
    struct io_event accept_event;
    struct loop_timer retry;
    listen_accepted_fn *accepted;
    void *context;
};

/* ---- opening ---- */

static struct listener *listener_new(int fd, struct error *err)
{
    struct listener *listener = calloc(1, sizeof *listener);

    if (listener == NULL) {
        error_no_memory(err, "for a listening socket");
        return NULL;
    }
    listener->fd = fd;
    listener->reserve_fd = -1;
    return listener;
}

/* False: there is no socket of that name. */
static bool identify(const char *path, struct socket_identity *out)
{
    struct stat status;

    if (lstat(path, &status) != 0 || !S_ISSOCK(status.st_mode))
        return false;
    *out = (struct socket_identity){ status.st_dev, status.st_ino };
    return true;
}

static bool is_still(const char *path, const struct socket_identity *socket)
{
    struct socket_identity now;

    return identify(path, &now) && now.device == socket->device && now.inode == socket->inode;
}

/* 0: the path is free to be bound again; -EADDRINUSE: somebody answers there. */
static int remove_stale_socket(const struct listen_address *address, struct error *err)
{
    const char *path = address->address.local.sun_path;
    struct socket_identity found = { 0 };
    struct stat status;

    if (lstat(path, &status) == 0 && !S_ISSOCK(status.st_mode))
        return error_set(err, -EEXIST,
                         "Unix socket '%s': a file of that name is there and is no socket; choose "
                         "another path or remove it",
                         path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_set(err, -errno, "Unix socket '%s': %s", path, strerror(errno));
    (void)identify(path, &found);
    bool dead =
        connect(fd, &address->address.any, address->address_bytes) != 0 && errno == ECONNREFUSED;
    close(fd);
    if (!dead)
        return error_set(err, -EADDRINUSE,
                         "Unix socket '%s': another server is using it; stop that server or choose "
                         "another path",
                         path);
    /* Somebody else who starts may have replaced it since. */
    if (is_still(path, &found) && unlink(path) != 0)
        return error_set(err, -errno, "Unix socket '%s': the stale socket can't be removed: %s",
                         path, strerror(errno));
    return 0;
}

/* In a folder where its user may make a file. */
static bool sandbox_forbids(const struct listen_address *address)
{
    char path[sizeof address->address.local.sun_path];

    memcpy(path, address->address.local.sun_path, sizeof path);
    const char *folder = dirname(path);
    return access(folder, W_OK | X_OK) == 0 && sandbox_hides(folder, SANDBOX_FILES);
}

static int explain_bind(const struct listen_address *address, int result, struct error *err)
{
    if (result == -EADDRINUSE)
        return error_set(err, result,
                         "address %s is in use by another program; choose another one with "
                         "--listen",
                         address->text);
    if (result == -EACCES && address->address.any.sa_family != AF_UNIX)
        return error_set(err, result, "address %s needs a privilege: ports below 1024 are for root",
                         address->text);
    if (result == -EACCES && sandbox_forbids(address))
        return error_set(err, result,
                         "Unix socket '%s': it is outside of where the sandbox of this server lets "
                         "files be made: restart the server for it",
                         address->text);
    if (result == -EPERM && address->permissions.has_group)
        return error_set(
            err, result,
            "Unix socket '%s': it can't be given to the group that was asked for: only a member "
            "of the group can do that, or root",
            address->text);
    if (result == -EADDRNOTAVAIL)
        return error_set(err, result, "address %s is not one of this machine", address->text);
    return error_set(err, result, "address %s can't be listened on: %s", address->text,
                     strerror(-result));
}

/* Nobody can connect before it is listened on. */
static int set_permissions(const struct listen_address *address)
{
    const struct unix_permissions *permissions = &address->permissions;
    const char *path = address->address.local.sun_path;

    if (address->address.any.sa_family != AF_UNIX)
        return 0;
    if (permissions->has_group && lchown(path, (uid_t)-1, permissions->group) != 0)
        return -1;
    return permissions->has_mode ? chmod(path, permissions->mode) : 0;
}

/* A TCP address conflicts when it is listened on, a Unix socket when its path is bound. */
static int bind_and_listen(int fd, const struct listen_address *address,
                           struct unix_permissions *first)
{
    struct stat status;

    if (bind(fd, &address->address.any, address->address_bytes) != 0)
        return -errno;
    if (address->address.any.sa_family == AF_UNIX &&
        lstat(address->address.local.sun_path, &status) == 0)
        *first =
            (struct unix_permissions){ .mode = status.st_mode & 07777, .group = status.st_gid };
    if (set_permissions(address) == 0 && listen(fd, BACKLOG) == 0)
        return 0;
    int result = -errno;
    if (address->address.any.sa_family == AF_UNIX)
        unlink(address->address.local.sun_path);
    return result;
}

static int listen_patiently(struct listener *listener, const struct listen_address *address,
                            struct error *err)
{
    bool local = address->address.any.sa_family == AF_UNIX;
    struct retry retry = { 0 };
    int result;

    while ((result = bind_and_listen(listener->fd, address, &listener->first)) == -EADDRINUSE) {
        int stale = -EADDRINUSE;

        if (local && retry.tries % TRIES_FOR_A_LOOK == 0)
            stale = remove_stale_socket(address, err);

        if (stale < 0 && stale != -EADDRINUSE)
            return stale;
        if (stale < 0 && !retry_wait(&retry))
            return local ? stale : explain_bind(address, result, err);
    }
    return result < 0 ? explain_bind(address, result, err) : 0;
}

static int listen_on(struct listener *listener, const struct listen_address *address,
                     struct error *err)
{
    int result = listen_patiently(listener, address, err);

    if (result < 0 || address->address.any.sa_family != AF_UNIX)
        return result;
    const char *path = address->address.local.sun_path;
    listener->unix_path = realpath(path, NULL);
    if (listener->unix_path == NULL) {
        result = error_set(err, -errno, "Unix socket '%s': %s", path, strerror(errno));
        unlink(path); /* it was bound just now */
        return result;
    }
    listener->unlink_path = identify(listener->unix_path, &listener->bound);
    return 0;
}

void listen_share(struct listener *listener, bool share)
{
    setsockopt(listener->fd, SOL_SOCKET, SO_REUSEPORT, &(int){ share }, sizeof(int));
}

int listen_open(struct listener **out, const struct listen_address *address, bool share,
                struct error *err)
{
    int fd = socket(address->address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return explain_bind(address, -errno, err);
    /* Fails harmlessly on Unix sockets: a restart must not wait for old connections. */
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
    struct listener *listener = listener_new(fd, err);
    if (listener == NULL) {
        close(fd);
        return -ENOMEM;
    }
    if (share)
        listen_share(listener, true);
    int result = listen_on(listener, address, err);
    listen_share(listener, false);
    if (result < 0) {
        listen_free(listener);
        return result;
    }
    *out = listener;
    return 0;
}

/* A socket that somebody else bound: its path, if any, is not ours to remove. */
static int adopt(struct listener **out, int fd, struct error *err)
{
    struct sockaddr_un address = { 0 };
    socklen_t bytes = sizeof address - 1;
    int listening = 0;
    socklen_t listening_bytes = sizeof listening;

    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &listening_bytes) != 0 || !listening)
        return error_set(
            err, -EINVAL,
            "socket activation: descriptor %d is not a listening socket; a .socket unit "
            "for nbdcrypt needs ListenStream= and Accept=no",
            fd);
    struct listener *listener = listener_new(fd, err);
    if (listener == NULL)
        return -ENOMEM;
    if (getsockname(fd, (struct sockaddr *)&address, &bytes) == 0 &&
        address.sun_family == AF_UNIX && address.sun_path[0] == '/')
        listener->unix_path = strdup(address.sun_path);
    *out = listener;
    return 0;
}

/* Whether `name` is number `index` of the list: "nbd:control", of sd_listen_fds_with_names(3). */
static bool is_named(const char *names, size_t index, const char *name)
{
    for (; names != NULL && index > 0; index--) {
        names = strchr(names, ':');
        names = names != NULL ? names + 1 : NULL;
    }
    return names != NULL && strcspn(names, ":") == strlen(name) &&
           strncmp(names, name, strlen(name)) == 0;
}

static int adopt_control(struct listener **control, int fd, struct error *err)
{
    if (*control != NULL)
        return error_set(err, -EINVAL, "socket activation: there are two sockets named control");
    int result = adopt(control, fd, err);
    if (result == 0 && !listen_is_unix(*control))
        return error_set(err, -EINVAL,
                         "socket activation: the socket named control (FileDescriptorName=) is no "
                         "Unix socket");
    return result;
}

int listen_activated(struct listener **out, size_t max, size_t *count, struct listener **control,
                     struct error *err)
{
    const char *pid = getenv("LISTEN_PID");
    const char *fds = getenv("LISTEN_FDS");
    const char *names = getenv("LISTEN_FDNAMES");

    *count = 0;
    if (pid == NULL || fds == NULL || strtol(pid, NULL, 10) != getpid())
        return 0;
    long number = strtol(fds, NULL, 10);
    if (number < 1 || (size_t)number > max)
        return error_set(err, -EINVAL, "socket activation: LISTEN_FDS=%s is not between 1 and %zu",
                         fds, max);
    for (int i = 0; i < number; i++) {
        bool is_control = is_named(names, (size_t)i, "control");
        int result = is_control ? adopt_control(control, ACTIVATED_FD_FIRST + i, err)
                                : adopt(&out[*count], ACTIVATED_FD_FIRST + i, err);
        if (result < 0)
            return result;
        *count += !is_control;
    }
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return 0;
}

/* Who may connect changes at once; who has connected stays. */
int listen_permit(struct listener *listener, const struct unix_permissions *next,
                  struct unix_permissions *before, struct error *err)
{
    const char *path = listener->unix_path;
    struct stat status;

    if (lstat(path, &status) != 0 || !is_still(path, &listener->bound))
        return error_set(err, -ENOENT, "Unix socket '%s': it is not there any more, or another's",
                         path);
    mode_t mode = next->has_mode ? next->mode : listener->first.mode;
    gid_t group = next->has_group ? next->group : listener->first.group;
    if (group != status.st_gid && lchown(path, (uid_t)-1, group) != 0)
        return error_set(err, -errno, "Unix socket '%s': its group can't be changed: %s", path,
                         strerror(errno));
    if (chmod(path, mode) != 0) {
        int result = error_set(err, -errno, "Unix socket '%s': its mode can't be changed: %s", path,
                               strerror(errno));

        (void)!lchown(path, (uid_t)-1, status.st_gid);
        return result;
    }
    if (before != NULL)
        *before = (struct unix_permissions){ .has_mode = true,
                                             .has_group = true,
                                             .mode = status.st_mode & 07777,
                                             .group = status.st_gid };
    return 0;
}

/* ---- accepting ---- */

static void accept_next(struct listener *listener)
{
    loop_accept(listener->loop, &listener->accept_event, listener->fd);
}

static void hand_over(struct listener *listener, int fd);

/* Nothing of it is in flight.  Who has connected is not turned away. */
static void end_retired(struct listener *listener)
{
    struct pollfd waiting = { .fd = listener->fd, .events = POLLIN };
    int fd;

    while (poll(&waiting, 1, 0) == 1 && (fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0)
        hand_over(listener, fd);
    listen_free(listener);
}

static void retry(struct io_event *ev, int result)
{
    struct listener *listener = container_of(ev, struct listener, retry.event);

    (void)result;
    if (listener->retired)
        end_retired(listener);
    else if (!listener->stopping)
        accept_next(listener);
}

/* Whom there is no descriptor for is not left waiting for one. */
static void turn_one_away(struct listener *listener)
{
    struct pollfd waiting = { .fd = listener->fd, .events = POLLIN };

    if (listener->reserve_fd >= 0)
        close(listener->reserve_fd);
    int fd = poll(&waiting, 1, 0) == 1 ? accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC) : -1;
    if (fd >= 0) {
        struct peer peer;

        peer_of_socket(&peer, fd);
        log_write_of(LOG_WARNING, peer.text,
                     "turned away, this process has as many descriptors as it may have "
                     "(ulimit -n, LimitNOFILE=)");
        close(fd);
    }
    listener->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void listen_widen(int fd)
{
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &(int){ UNIX_SEND_BUFFER_BYTES }, sizeof(int));
}

static void hand_over(struct listener *listener, int fd)
{
    struct peer peer;

    peer_of_socket(&peer, fd);
    /* Each fails harmlessly, or is of no use, on the other kind of socket. */
    if (peer.address.ss_family == AF_UNIX)
        listen_widen(fd);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
    listener->accepted(listener->context, fd, &peer);
}

static void accepted(struct io_event *ev, int result)
{
    struct listener *listener = container_of(ev, struct listener, accept_event);

    if (result >= 0 && listener->stopping && !listener->retired)
        close(result);
    else if (result >= 0)
        hand_over(listener, result);
    if (listener->retired) {
        end_retired(listener);
        return;
    }
    if (listener->stopping)
        return;
    if (result == -EMFILE || result == -ENFILE) {
        turn_one_away(listener);
        loop_timer_start(listener->loop, &listener->retry, RETRY_TURNED_AWAY_MS);
        return;
    }
    if (result == -ENOBUFS || result == -ENOMEM) {
        log_write_of(LOG_WARNING, "a client", "can't be accepted: %s; the server tries again",
                     strerror(-result));
        loop_timer_start(listener->loop, &listener->retry, RETRY_MS);
        return;
    }
    accept_next(listener);
}

void listen_start(struct listener *listener, struct loop *loop, listen_accepted_fn *fn,
                  void *context)
{
    listener->loop = loop;
    listener->accepted = fn;
    listener->context = context;
    listener->accept_event.fn = accepted;
    listener->retry.event.fn = retry;
    listener->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    accept_next(listener);
}

void listen_remove_name(const struct listener *listener)
{
    if (listener->unlink_path && is_still(listener->unix_path, &listener->bound))
        unlink(listener->unix_path);
}

void listen_stop(struct listener *listener)
{
    listener->stopping = true;
    if (listener->loop != NULL)
        loop_cancel(listener->loop, &listener->accept_event);
    listen_remove_name(listener);
    listener->unlink_path = false;
}

void listen_retire(struct listener *listener)
{
    listener->retired = true;
    listen_stop(listener);
    loop_cancel(listener->loop, &listener->retry.event);
}

void listen_free(struct listener *listener)
{
    if (listener == NULL)
        return;
    listen_remove_name(listener);
    close(listener->fd);
    if (listener->reserve_fd >= 0)
        close(listener->reserve_fd);
    free(listener->unix_path);
    free(listener);
}

/* ---- URIs ---- */

/* Percent-encodes what is not plain in an URI; `keep` are further bytes to leave. */
static void put_encoded(FILE *uri, const char *text, const char *keep)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;

        if (isalnum(c) || strchr("-._~", c) != NULL || strchr(keep, c) != NULL)
            fputc(c, uri);
        else
            fprintf(uri, "%%%02X", c);
    }
}

static void put_address(FILE *uri, const struct listener *listener)
{
    struct sockaddr_storage address = { 0 };
    socklen_t bytes = sizeof address;
    char text[INET6_ADDRSTRLEN] = "?", scope[IF_NAMESIZE];

    getsockname(listener->fd, (struct sockaddr *)&address, &bytes);
    if (address.ss_family == AF_INET6) {
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;

        inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
        fprintf(uri, "[%s", text);
        if (v6->sin6_scope_id != 0 && if_indextoname(v6->sin6_scope_id, scope) != NULL) {
            fputs("%25", uri); /* RFC 6874 */
            put_encoded(uri, scope, "");
        }
        fprintf(uri, "]:%u", ntohs(v6->sin6_port));
        return;
    }
    struct sockaddr_in v4;
    memcpy(&v4, &address, sizeof v4);
    inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
    fprintf(uri, "%s:%u", text, ntohs(v4.sin_port));
}

char *listen_uri(const struct listener *listener, const char *export_name, bool tls)
{
    const char *scheme = tls ? "nbds" : "nbd";
    char *text = NULL;
    size_t length_bytes;
    FILE *uri = open_memstream(&text, &length_bytes);

    if (uri == NULL)
        return NULL;
    fprintf(uri, "%s%s://", scheme, listener->unix_path != NULL ? "+unix" : "");
    if (listener->unix_path == NULL)
        put_address(uri, listener);
    fputc('/', uri);
    put_encoded(uri, export_name, "");
    if (listener->unix_path != NULL) {
        fputs("?socket=", uri);
        put_encoded(uri, listener->unix_path, "/");
    }
    if (fclose(uri) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

int listen_fd(const struct listener *listener)
{
    return listener->fd;
}

bool listen_is_unix(const struct listener *listener)
{
    int family = AF_UNSPEC;
    socklen_t bytes = sizeof family;

    getsockopt(listener->fd, SOL_SOCKET, SO_DOMAIN, &family, &bytes);
    return family == AF_UNIX;
}

const char *listen_unix_path(const struct listener *listener)
{
    return listener->unix_path;
}
