/* The byte stream to the other end, a client or a server: plain here, TLS elsewhere.
 *
 * recv fills exactly N bytes at the address given; what is small comes from a staging buffer
 * that one system call filled, what is large goes straight where it belongs.  At most one
 * recv and one send are in flight. */
#ifndef NBDCRYPT_TRANSPORT_H
#define NBDCRYPT_TRANSPORT_H

#include <errno.h>

#include "server/loop/loop.h"

struct ktls;
struct transport;

struct transport_ops {
    const char *name;
    /* True: `data` is filled now, and no event follows.  False: recv_done fires later. */
    bool (*recv)(struct transport *transport, void *data, uint32_t length_bytes);
    /* send_done fires with the number of bytes sent, at least 1, perhaps fewer than given.
     * `iov` and its memory stay until then. */
    void (*send)(struct transport *transport, struct iovec *iov, unsigned iov_count);
    /* More has arrived than was asked for so far: a recv in flight is about to be filled. */
    bool (*has_unread)(struct transport *transport);
    /* Of the recv in flight a part has arrived: the other end owes the rest. */
    bool (*has_begun)(struct transport *transport);
    /* Of what was sent, what the other end has not taken. */
    uint32_t (*unsent_bytes)(struct transport *transport);
    /* Wipes what it keeps of data that was taken from it, once.  False: it waits for an operation
     * in flight that can write there, which is being ended; ask `again` in a moment. */
    bool (*scrub)(struct transport *transport, bool again);
    /* No more will be sent: the other end sees the end once it has read everything. */
    void (*finish)(struct transport *transport);
    /* Both directions end now; operations in flight complete soon, with an error. */
    void (*abort)(struct transport *transport);
    /* Nothing is in flight. Frees the transport and closes the socket. */
    void (*close)(struct transport *transport);
};

/* For who implements it: a receive, and one that scrub() ends.  Then something may have arrived at
 * the same moment: it counts, and a receive that follows has to be ended, too. */
enum transport_receive {
    TRANSPORT_RECEIVES_NOT,
    TRANSPORT_RECEIVING,
    TRANSPORT_RECEIVE_CANCELLED,
};

/* It brought nothing, and nothing is wrong: it is to be begun anew. */
static inline bool transport_is_interrupted(enum transport_receive receive, int result)
{
    return result < 0 && (result == -EINTR || result == -EAGAIN ||
                          (result == -ECANCELED && receive == TRANSPORT_RECEIVE_CANCELLED));
}

#define TRANSPORT_STAGING_BYTES 8192u /* 292 requests without payload in one receive */

/* Results of recv_done. */
#define TRANSPORT_FILLED 1
#define TRANSPORT_END 0 /* the other end closed before the first of the bytes asked for */
/* -ECONNRESET: it closed in the middle of them; other negative numbers: the socket's error. */

struct transport {
    const struct transport_ops *ops;
    struct loop *loop;
    struct io_event *recv_done; /* set by the owner before the first call */
    struct io_event *send_done;
};

/* Takes the connected socket `fd`; it stays the caller's when this fails. */
NODISCARD int transport_plain_create(struct transport **out, struct loop *loop, int fd,
                                     struct error *err);
/* The same stream over a socket on which the kernel does TLS; takes both over, and first gives
 * what had been received before: at most TRANSPORT_STAGING_BYTES.  As under TLS, an end without
 * close_notify is -ECONNRESET.  -ENOMEM: they stay the caller's. */
NODISCARD int transport_plain_create_on_ktls(struct transport **out, struct loop *loop,
                                             const struct loop_file *file, struct ktls *ktls,
                                             const void *received, uint32_t received_bytes,
                                             struct error *err);
/* Frees it and gives its socket back, for another transport to go on with.  Nothing is in
 * flight, and what was received is lost. */
struct loop_file transport_plain_detach(struct transport *transport);

#endif
