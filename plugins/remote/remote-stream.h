/* The transmission phase with a remote NBD server: commands go out, replies come in.
 *
 *     owner: remote_stream_add ... remote_stream_flush ->  [28 bytes][data][28 bytes][data] ...  ->
 *            finished(slot)  <-  remote-replies  <-  [header][payload, to where it belongs] ...  <-
 *
 * All that was added in a batch of the loop goes out in one send, and what came in one receive is
 * taken apart before the next.  The server is not trusted: whatever breaks the rules ends the
 * stream. */
#ifndef NBDCRYPT_REMOTE_STREAM_H
#define NBDCRYPT_REMOTE_STREAM_H

#include "plugins/remote/remote-replies.h"
#include "server/transport/transport.h"

#define REMOTE_IOV_MAX 64u

struct remote_stream;

struct remote_stream_owner {
    /* A reply has come: slot->error is set, and the slot is out of the stream. */
    void (*finished)(struct remote_stream *stream, struct remote_slot *slot);
    /* The server has said why it answers with slot->error: printable, not empty. */
    void (*complaint)(struct remote_stream *stream, const struct remote_slot *slot,
                      const char *text);
    /* It is over: once, with the reason for a message; "": the server has closed it.  What has no
     * answer gets none.  Nothing is called any more but `idle`. */
    void (*failed)(struct remote_stream *stream, const char *reason);
    /* After an abort: nothing of the stream is in flight any more. */
    void (*idle)(struct remote_stream *stream);
};

struct remote_stream {
    const struct remote_stream_owner *owner;
    struct transport *transport; /* NULL: there is none */
    bool failed, aborted;

    /* Sending. */
    struct io_event send_done;
    struct remote_slot *unsent, **unsent_end;
    struct iovec iov[REMOTE_IOV_MAX];
    bool sending;
    uint8_t goodbye[NBD_EXTENDED_REQUEST_BYTES];
    bool said_goodbye;

    /* Receiving. */
    struct io_event recv_done;
    struct remote_replies replies;
    bool receiving;
};

/* Whether it has a transport. */
bool remote_stream_is_open(const struct remote_stream *stream);

/* `slots` must outlive it: a command in slot number i has a cookie that is i modulo slot_count. */
void remote_stream_init(struct remote_stream *stream, const struct remote_stream_owner *owner,
                        struct remote_slot *slots, unsigned slot_count);

/* Takes over a transport with the handshake behind it, and begins to receive. */
void remote_stream_start(struct remote_stream *stream, struct transport *transport,
                         const struct remote_connection *connection);

/* A command that has been prepared; it stays the stream's until it is finished or the stream
 * closed. */
void remote_stream_add(struct remote_stream *stream, struct remote_slot *slot);
/* Sends what was added. */
void remote_stream_flush(struct remote_stream *stream);

/* As if the server had broken the rules. */
void remote_stream_fail(struct remote_stream *stream, const char *reason);

/* No command is in the stream: says DISC, and then aborts.  It may take as long as the server
 * likes. */
void remote_stream_leave(struct remote_stream *stream);
/* Ends what is in flight, soon; `idle` is called if there is something. */
void remote_stream_abort(struct remote_stream *stream);
bool remote_stream_is_idle(const struct remote_stream *stream);
/* It is idle.  Slots that have no answer are the owner's again. */
void remote_stream_close(struct remote_stream *stream);

#endif
