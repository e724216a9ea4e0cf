#include "server/attach/attach-proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/base/log.h"
#include "server/base/threads.h"
#include "server/client/tls-client.h"

#define BUFFER_BYTES 16384u /* a record */

struct buffer {
    size_t start, end;
    uint8_t bytes[BUFFER_BYTES];
};

struct proxy {
    struct channel channel; /* to the server; at rest */
    struct tls_client *client;
    int near;
    struct buffer up, down; /* to the server, and from it */
    short far_events, near_events;
    bool more; /* something was read: there may be more of it */
};

/* All of these: false when one side has ended. */

static bool read_near(struct proxy *proxy)
{
    ssize_t got = recv(proxy->near, proxy->up.bytes, BUFFER_BYTES, MSG_DONTWAIT);

    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        proxy->near_events |= POLLIN;
        return true;
    }
    proxy->up.start = 0;
    proxy->up.end = got > 0 ? (size_t)got : 0;
    proxy->more |= got > 0;
    return got > 0;
}

static bool write_near(struct proxy *proxy)
{
    struct buffer *down = &proxy->down;
    ssize_t sent = send(proxy->near, down->bytes + down->start, down->end - down->start,
                        MSG_DONTWAIT | MSG_NOSIGNAL);

    if (sent < 0 && (errno == EAGAIN || errno == EINTR)) {
        proxy->near_events |= POLLOUT;
        return true;
    }
    down->start += sent > 0 ? (size_t)sent : 0;
    return sent > 0;
}

static bool write_far(struct proxy *proxy, struct error *err)
{
    struct buffer *up = &proxy->up;
    short events = POLLOUT;
    ssize_t sent = proxy->channel.protection->send(&proxy->channel, up->bytes + up->start,
                                                   up->end - up->start, &events, err);

    if (sent == -EAGAIN)
        proxy->far_events |= events;
    up->start += sent > 0 ? (size_t)sent : 0;
    return sent > 0 || sent == -EAGAIN;
}

static bool read_far(struct proxy *proxy, struct error *err)
{
    short events = POLLIN;
    ssize_t got = proxy->channel.protection->receive(&proxy->channel, proxy->down.bytes,
                                                     BUFFER_BYTES, &events, err);

    if (got == -EAGAIN)
        proxy->far_events |= events;
    proxy->down.start = 0;
    proxy->down.end = got > 0 ? (size_t)got : 0;
    proxy->more |= got > 0;
    return got > 0 || got == -EAGAIN;
}

static bool is_empty(const struct buffer *buffer)
{
    return buffer->start == buffer->end;
}

/* Both directions as far as they go; what stops each is waited for. */
static bool relay(struct proxy *proxy, struct error *err)
{
    proxy->far_events = proxy->near_events = 0;
    proxy->more = false;
    if (is_empty(&proxy->up) && !read_near(proxy))
        return false;
    if (!is_empty(&proxy->up) && !write_far(proxy, err))
        return false;
    if (is_empty(&proxy->down) && !read_far(proxy, err))
        return false;
    if (!is_empty(&proxy->down) && !write_near(proxy))
        return false;
    /* Of a side that nothing is wanted from, its end is no news yet. */
    struct pollfd polls[2] = {
        { .fd = proxy->far_events != 0 ? proxy->channel.fd : -1, .events = proxy->far_events },
        { .fd = proxy->near_events != 0 ? proxy->near : -1, .events = proxy->near_events },
    };
    return proxy->more || poll(polls, 2, -1) >= 0 || errno == EINTR;
}

static void *proxy_thread(void *context)
{
    struct proxy *proxy = context;
    struct error err = { "" };

    thread_begin("tls");
    while (relay(proxy, &err))
        continue;
    if (err.text[0] != '\0')
        log_warning("%s", err.text);
    tls_client_free(proxy->client);
    close(proxy->channel.fd);
    close(proxy->near);
    free(proxy);
    return NULL;
}

static int start(struct proxy *proxy, struct error *err)
{
    pthread_attr_t attributes;
    pthread_t thread;
    int error = pthread_attr_init(&attributes);

    if (error == 0) {
        (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        error = pthread_create(&thread, &attributes, proxy_thread, proxy);
        pthread_attr_destroy(&attributes);
    }
    return error == 0
               ? 0
               : error_set(err, -error, "a thread for TLS can't be started: %s", strerror(error));
}

int attach_proxy_start(int *fd, struct tls_client **client, struct error *err)
{
    struct proxy *proxy = calloc(1, sizeof *proxy);
    int ends[2];

    if (proxy == NULL)
        return error_no_memory(err, "for TLS");
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        free(proxy);
        return error_set(err, -errno, "a pair of sockets can't be made: %s", strerror(errno));
    }
    (void)fcntl(*fd, F_SETFL, O_NONBLOCK);
    proxy->channel.fd = *fd;
    tls_client_channel(*client, &proxy->channel);
    proxy->client = *client;
    proxy->near = ends[0];
    int result = start(proxy, err);
    if (result < 0) {
        close(ends[0]);
        close(ends[1]);
        free(proxy);
        return result;
    }
    *fd = ends[1];
    *client = NULL;
    return 0;
}
