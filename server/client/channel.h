/* A connection to a server while nothing goes on beside it: connecting, TLS, the handshake of NBD.
 *
 * Calls block, but not beyond a deadline, and not once they are told to stop.  The socket does not
 * block by itself.  TLS, where there is some, sits between the bytes and the socket. */
#ifndef NBDCRYPT_CHANNEL_H
#define NBDCRYPT_CHANNEL_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "server/base/error.h"

struct channel;

/* What is between the bytes and the socket.  How many bytes were moved, at least 1; 0 of receive:
 * the server has ended the stream; -EAGAIN: only once the socket has had *events, of poll(2);
 * another -errno: with a message. */
struct channel_protection {
    ssize_t (*send)(struct channel *channel, const void *data, size_t length_bytes, short *events,
                    struct error *err);
    ssize_t (*receive)(struct channel *channel, void *data, size_t length_bytes, short *events,
                       struct error *err);
};

struct channel {
    int fd;                  /* O_NONBLOCK; the caller's */
    uint64_t end_ms;         /* the deadline, by channel_clock_ms() */
    const atomic_bool *stop; /* once true, all calls return -ECANCELED; NULL: nobody tells */
    const struct channel_protection *protection; /* NULL: in the clear */
    void *context;                               /* of the protection */
};

/* Milliseconds of a clock that only goes forward; never 0. */
uint64_t channel_clock_ms(void);

/* Waits for `events` of poll(2) on the socket, or for its end.  -ETIMEDOUT, -ECANCELED with a
 * message. */
NODISCARD int channel_wait(const struct channel *channel, short events, struct error *err);

/* A moment, for what can't be waited for.  As above. */
NODISCARD int channel_pause(const struct channel *channel, struct error *err);

/* All of it, or -errno with a message: -ETIMEDOUT, -ECANCELED, -ECONNRESET: the server closed the
 * connection, or what the socket or the protection says. */
NODISCARD int channel_send(struct channel *channel, const void *data, size_t length_bytes,
                           struct error *err);
NODISCARD int channel_receive(struct channel *channel, void *data, size_t length_bytes,
                              struct error *err);

#endif
