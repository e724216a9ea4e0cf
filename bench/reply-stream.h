/* The receiving side of a connection: cuts what the server sends into headers and payloads.
 *
 * One receive is in flight at a time.  It has two places: the rest of a payload that is under way,
 * which goes where its owner wants it or into the scratch sink, and behind it the staging memory
 * for the headers, and the beginnings of payloads, that follow.  So many small replies, or a large
 * payload and the next header, come with one system call.
 *
 * Under TLS a transport stands between it and the socket.  It gathers by itself and fills exactly
 * what it is asked for, so the header and the payload are asked for one after the other. */
#ifndef NBDCRYPT_REPLY_STREAM_H
#define NBDCRYPT_REPLY_STREAM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "bench/reply-header.h"
#include "bench/scratch.h"
#include "server/base/error.h"
#include "server/loop/loop.h"
#include "server/transport/transport.h"

#define REPLY_STREAM_SINK_PIECES_MAX 16u /* 1 MiB of one payload in one receive */
#define REPLY_STREAM_MALFORMED (-EBADMSG)

/* What follows a header. */
struct reply_payload {
    uint8_t *to; /* NULL: nowhere */
    uint32_t length_bytes;
};

/* What the owner does; all of it during loop_run(). */
struct reply_stream_ops {
    /* A header came; `payload` is to be filled.  False: the owner gives up, nothing more is
     * read. */
    bool (*header)(void *owner, const struct reply_header *header, struct reply_payload *payload);
    /* The payload of the last header, which may be empty, is complete.  False: as above. */
    bool (*payload_end)(void *owner);
    /* Called first and last when something was received.  What is in flight decides whether
     * the owner calls reply_stream_receive() again. */
    void (*batch_begin)(void *owner);
    void (*batch_end)(void *owner);
    /* Whether the server owes a reply. */
    bool (*is_owed)(void *owner);
    /* Instead of batch_end(): -errno, 0 for the end of the stream, REPLY_STREAM_MALFORMED. */
    void (*failed)(void *owner, int result);
};

struct reply_stream {
    const struct reply_stream_ops *ops;
    void *owner;
    struct loop *loop;
    const struct loop_file *file;
    struct transport *transport; /* NULL: `file`, in the clear */
    struct scratch *scratch;

    struct io_event event;
    struct msghdr message;
    struct iovec iov[REPLY_STREAM_SINK_PIECES_MAX + 1];
    /* Of the receive in flight: payload, before the staging memory; under TLS, all of it. */
    uint32_t direct_bytes;
    bool receiving, in_payload;

    struct reply_payload payload; /* what is left of it */
    uint8_t *staging;
    uint32_t staging_bytes, staged_bytes;
};

/* `typical_bytes`: what is expected to be under way at a time, headers included; the staging
 * memory is made for it, within limits. */
NODISCARD int reply_stream_create(struct reply_stream *stream, uint64_t typical_bytes,
                                  const struct reply_stream_ops *ops, void *owner,
                                  struct error *err);
void reply_stream_destroy(struct reply_stream *stream);

/* `file` must stay where it is while the stream is used. */
void reply_stream_attach(struct reply_stream *stream, struct loop *loop,
                         const struct loop_file *file, struct scratch *scratch);
/* As above, under TLS; the transport's recv_done is the stream's from then on. */
void reply_stream_attach_transport(struct reply_stream *stream, struct transport *transport,
                                   struct scratch *scratch);
/* Nothing happens when a receive is in flight already. */
void reply_stream_receive(struct reply_stream *stream);

#endif
