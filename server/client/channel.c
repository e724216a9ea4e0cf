#include "server/client/channel.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define STOP_POLL_MS 50 /* how soon a wish to stop is noticed */

uint64_t channel_clock_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000 + 1;
}

static int check_end(const struct channel *channel, struct error *err)
{
    if (channel->stop != NULL && atomic_load(channel->stop))
        return error_set(err, -ECANCELED, "the program ends");
    if (channel_clock_ms() >= channel->end_ms)
        return error_set(err, -ETIMEDOUT, "the server does not answer during the handshake");
    return 0;
}

/* 1: the socket has had one of the events; 0: not yet. */
static int look(const struct channel *channel, struct pollfd *socket, struct error *err)
{
    int result = check_end(channel, err);
    uint64_t now_ms = channel_clock_ms();

    if (result < 0)
        return result;
    uint64_t left_ms = channel->end_ms > now_ms ? channel->end_ms - now_ms : 0;
    return poll(socket, 1, left_ms < STOP_POLL_MS ? (int)left_ms : STOP_POLL_MS) > 0;
}

int channel_wait(const struct channel *channel, short events, struct error *err)
{
    struct pollfd socket = { .fd = channel->fd, .events = events };
    int result;

    while ((result = look(channel, &socket, err)) == 0)
        ;
    return result < 0 ? result : 0;
}

int channel_pause(const struct channel *channel, struct error *err)
{
    struct pollfd none = { .fd = -1 };

    return look(channel, &none, err);
}

static ssize_t clear_send(struct channel *channel, const void *data, size_t length_bytes,
                          short *events, struct error *err)
{
    ssize_t count = send(channel->fd, data, length_bytes, MSG_NOSIGNAL);

    if (count >= 0)
        return count;
    *events = POLLOUT;
    if (errno == EAGAIN || errno == EINTR)
        return -EAGAIN;
    return error_set(err, -errno, "sending failed during the handshake: %s", strerror(errno));
}

static ssize_t clear_receive(struct channel *channel, void *data, size_t length_bytes,
                             short *events, struct error *err)
{
    ssize_t count = recv(channel->fd, data, length_bytes, 0);

    if (count >= 0)
        return count;
    *events = POLLIN;
    if (errno == EAGAIN || errno == EINTR)
        return -EAGAIN;
    return error_set(err, -errno, "receiving failed during the handshake: %s", strerror(errno));
}

static const struct channel_protection in_the_clear = { clear_send, clear_receive };

static const struct channel_protection *protection_of(const struct channel *channel)
{
    return channel->protection != NULL ? channel->protection : &in_the_clear;
}

/* What a call of the protection means.  A server that never pauses must not hold us, either. */
static int moved(const struct channel *channel, ssize_t count, short events, struct error *err)
{
    if (count > 0)
        return check_end(channel, err);
    if (count == -EAGAIN)
        return channel_wait(channel, events, err);
    if (count == 0)
        return error_set(err, -ECONNRESET, "the server closed the connection during the handshake");
    return (int)count;
}

int channel_send(struct channel *channel, const void *data, size_t length_bytes, struct error *err)
{
    const uint8_t *at = data; /* NULL where there is nothing to be sent */
    int result = 0;

    while (length_bytes > 0 && result == 0) {
        short events = POLLOUT;
        ssize_t count = protection_of(channel)->send(channel, at, length_bytes, &events, err);
        size_t moved_bytes = count > 0 ? (size_t)count : 0;

        result = moved(channel, count, events, err);
        at += moved_bytes;
        length_bytes -= moved_bytes;
    }
    return result;
}

int channel_receive(struct channel *channel, void *data, size_t length_bytes, struct error *err)
{
    uint8_t *at = data;
    int result = 0;

    while (length_bytes > 0 && result == 0) {
        short events = POLLIN;
        ssize_t count = protection_of(channel)->receive(channel, at, length_bytes, &events, err);
        size_t moved_bytes = count > 0 ? (size_t)count : 0;

        result = moved(channel, count, events, err);
        at += moved_bytes;
        length_bytes -= moved_bytes;
    }
    return result;
}
