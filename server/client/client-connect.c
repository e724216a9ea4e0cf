#include "server/client/client-connect.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* What became of a connect() that was begun. */
static int outcome(const struct channel *channel, struct error *err)
{
    int error = 0;
    socklen_t error_bytes = sizeof error;
    int result = channel_wait(channel, POLLOUT, err);

    if (result < 0)
        return result;
    if (getsockopt(channel->fd, SOL_SOCKET, SO_ERROR, &error, &error_bytes) != 0)
        error = errno;
    return error_set(err, -error, "%s", strerror(error));
}

/* A Unix socket whose queue is full says EAGAIN, and nothing tells when there is room again. */
static int begin(const struct channel *channel, const struct sockaddr *address,
                 socklen_t address_bytes, struct error *err)
{
    for (;;) {
        if (connect(channel->fd, address, address_bytes) == 0)
            return 0;
        if (errno == EINPROGRESS)
            return outcome(channel, err);
        if (errno != EAGAIN && errno != EINTR)
            return error_set(err, -errno, "%s", strerror(errno));
        int result = channel_pause(channel, err);
        if (result < 0)
            return result;
    }
}

static int connect_one(struct channel *channel, int family, const struct sockaddr *address,
                       socklen_t address_bytes, struct error *err)
{
    channel->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (channel->fd < 0)
        return error_set(err, -errno, "%s", strerror(errno));
    int result = begin(channel, address, address_bytes, err);
    if (result < 0) {
        close(channel->fd);
        channel->fd = -1;
    }
    return result;
}

static int connect_unix(struct channel *channel, const struct nbd_uri *uri, struct error *err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct error reason;

    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", uri->socket_path);
    int result =
        connect_one(channel, AF_UNIX, (struct sockaddr *)&address, sizeof address, &reason);
    if (result < 0)
        error_set(err, result, "%s: can't connect: %s; is the server running?", uri->socket_path,
                  reason.text);
    return result;
}

/* One after the other; each but the last may take its share of the time that is left. */
static int connect_first(struct channel *channel, const struct addrinfo *found, struct error *err)
{
    uint64_t end_ms = channel->end_ms;
    unsigned count = 0;
    int result = error_set(err, -EADDRNOTAVAIL, "it has no address");

    for (const struct addrinfo *at = found; at != NULL; at = at->ai_next)
        count++;
    for (const struct addrinfo *at = found; at != NULL; at = at->ai_next, count--) {
        uint64_t now_ms = channel_clock_ms();

        if (end_ms > now_ms)
            channel->end_ms = now_ms + (end_ms - now_ms) / count;
        result = connect_one(channel, at->ai_family, at->ai_addr, at->ai_addrlen, err);
        channel->end_ms = end_ms;
        if (result == 0 || result == -ECANCELED)
            break;
    }
    return result;
}

static int connect_tcp(struct channel *channel, const struct nbd_uri *uri, struct error *err)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
    struct error reason;
    int result = getaddrinfo(uri->host, uri->port, &hints, &found);

    if (result != 0)
        return error_set(err, -EHOSTUNREACH, "%s: the address was not found: %s", uri->host,
                         result == EAI_SYSTEM ? strerror(errno) : gai_strerror(result));
    result = connect_first(channel, found, &reason);
    freeaddrinfo(found);
    if (result < 0)
        return error_set(err, result, "%s port %s: can't connect: %s; is the server running?",
                         uri->host, uri->port, reason.text);
    /* Requests leave when they are made, not when the last ones were acknowledged. */
    (void)setsockopt(channel->fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
    return 0;
}

int client_connect(struct channel *channel, const struct nbd_uri *uri, struct error *err)
{
    return uri->socket_path != NULL ? connect_unix(channel, uri, err)
                                    : connect_tcp(channel, uri, err);
}

void client_connect_settle(int fd)
{
    (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
}
