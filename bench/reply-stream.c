#include "bench/reply-stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STAGING_BYTES_MIN (8u << 10)
/* With the scratch memory well within a core's own cache. */
#define STAGING_BYTES_MAX (128u << 10)

/* In order of execution. */
static void received(struct io_event *ev, int result);
static bool parse_staged(struct reply_stream *stream);
static bool take_payload(struct reply_stream *stream, uint32_t *at);
static void fill(struct reply_stream *stream, bool in_batch);
static void filled(struct io_event *ev, int result);

int reply_stream_create(struct reply_stream *stream, uint64_t typical_bytes,
                        const struct reply_stream_ops *ops, void *owner, struct error *err)
{
    uint32_t bytes = STAGING_BYTES_MAX;

    if (typical_bytes < bytes)
        bytes = typical_bytes > STAGING_BYTES_MIN ? (uint32_t)typical_bytes : STAGING_BYTES_MIN;
    *stream = (struct reply_stream){
        .ops = ops,
        .owner = owner,
        .event.fn = received,
        .staging = malloc(bytes),
        .staging_bytes = bytes,
    };
    if (stream->staging == NULL)
        return error_no_memory(err, "for a connection");
    return 0;
}

void reply_stream_destroy(struct reply_stream *stream)
{
    free(stream->staging);
    stream->staging = NULL;
}

void reply_stream_attach(struct reply_stream *stream, struct loop *loop,
                         const struct loop_file *file, struct scratch *scratch)
{
    stream->loop = loop;
    stream->file = file;
    stream->scratch = scratch;
}

void reply_stream_attach_transport(struct reply_stream *stream, struct transport *transport,
                                   struct scratch *scratch)
{
    stream->transport = transport;
    stream->scratch = scratch;
    stream->event.fn = filled;
    transport->recv_done = &stream->event;
}

/* The places for what is left of a payload; a sink is named several times over. */
static unsigned place_payload(struct reply_stream *stream)
{
    struct reply_payload *payload = &stream->payload;

    stream->direct_bytes = payload->length_bytes;
    if (payload->to == NULL)
        return scratch_spread(stream->iov, REPLY_STREAM_SINK_PIECES_MAX, stream->scratch->sink,
                              SCRATCH_SINK_BYTES, &stream->direct_bytes);
    stream->iov[0] = (struct iovec){ .iov_base = payload->to, .iov_len = payload->length_bytes };
    return payload->length_bytes > 0 ? 1 : 0;
}

void reply_stream_receive(struct reply_stream *stream)
{
    if (stream->receiving)
        return;
    if (stream->transport != NULL) {
        fill(stream, false);
        return;
    }
    unsigned count = place_payload(stream);
    if (stream->direct_bytes == stream->payload.length_bytes)
        stream->iov[count++] = (struct iovec){
            .iov_base = stream->staging + stream->staged_bytes,
            .iov_len = stream->staging_bytes - stream->staged_bytes,
        };
    stream->message = (struct msghdr){ .msg_iov = stream->iov, .msg_iovlen = count };
    stream->receiving = true;
    loop_recvmsg(stream->loop, &stream->event, stream->file, &stream->message);
}

static void received(struct io_event *ev, int result)
{
    struct reply_stream *stream = container_of(ev, struct reply_stream, event);

    stream->receiving = false;
    if (result == -EINTR || result == -EAGAIN) {
        reply_stream_receive(stream);
        return;
    }
    if (result <= 0) {
        stream->ops->failed(stream->owner, result);
        return;
    }
    stream->ops->batch_begin(stream->owner);
    uint32_t count = (uint32_t)result;
    uint32_t direct = count < stream->direct_bytes ? count : stream->direct_bytes;
    stream->staged_bytes += count - direct;
    stream->payload.length_bytes -= direct;
    if (stream->payload.to != NULL)
        stream->payload.to += direct;
    if (parse_staged(stream))
        stream->ops->batch_end(stream->owner);
}

/* Takes headers and payloads until nothing is left, or the beginning of a header. */
static bool parse_staged(struct reply_stream *stream)
{
    uint32_t at = 0;

    for (;;) {
        struct reply_header header;

        if (stream->in_payload) {
            if (!take_payload(stream, &at))
                return false;
            if (stream->in_payload)
                break;
        }
        int length = reply_header_decode(&header, stream->staging + at, stream->staged_bytes - at);
        if (length == REPLY_INCOMPLETE)
            break;
        if (length == REPLY_MALFORMED) {
            stream->ops->failed(stream->owner, REPLY_STREAM_MALFORMED);
            return false;
        }
        at += (uint32_t)length;
        if (!stream->ops->header(stream->owner, &header, &stream->payload))
            return false;
        stream->in_payload = true;
    }
    stream->staged_bytes -= at;
    memmove(stream->staging, stream->staging + at, stream->staged_bytes);
    return true;
}

/* What of the payload is in the staging memory.  False: the owner gives up. */
static bool take_payload(struct reply_stream *stream, uint32_t *at)
{
    struct reply_payload *payload = &stream->payload;
    uint32_t count = stream->staged_bytes - *at;

    if (count > payload->length_bytes)
        count = payload->length_bytes;
    if (payload->to != NULL) {
        memcpy(payload->to, stream->staging + *at, count);
        payload->to += count;
    }
    payload->length_bytes -= count;
    *at += count;
    if (payload->length_bytes > 0)
        return true;
    stream->in_payload = false;
    payload->to = NULL;
    return stream->ops->payload_end(stream->owner);
}

/* ---- under TLS ---- */

/* What must come next, in every case. */
static uint8_t *place_next(struct reply_stream *stream, uint32_t *length_bytes)
{
    struct reply_payload *payload = &stream->payload;

    if (!stream->in_payload) {
        *length_bytes = reply_header_missing_bytes(stream->staging, stream->staged_bytes);
        return stream->staging + stream->staged_bytes;
    }
    *length_bytes = payload->length_bytes;
    if (payload->to != NULL)
        return payload->to;
    if (*length_bytes > SCRATCH_SINK_BYTES)
        *length_bytes = SCRATCH_SINK_BYTES;
    return stream->scratch->sink;
}

static bool take_filled(struct reply_stream *stream)
{
    struct reply_payload *payload = &stream->payload;

    stream->receiving = false;
    if (stream->in_payload) {
        payload->length_bytes -= stream->direct_bytes;
        if (payload->to != NULL)
            payload->to += stream->direct_bytes;
    } else {
        stream->staged_bytes += stream->direct_bytes;
    }
    return parse_staged(stream);
}

/* Takes what the transport has, and asks for more where more is owed. */
static void fill(struct reply_stream *stream, bool in_batch)
{
    while (stream->ops->is_owed(stream->owner)) {
        uint8_t *to = place_next(stream, &stream->direct_bytes);

        stream->receiving = true;
        if (!stream->transport->ops->recv(stream->transport, to, stream->direct_bytes))
            break;
        if (!in_batch)
            stream->ops->batch_begin(stream->owner);
        in_batch = true;
        if (!take_filled(stream))
            return;
    }
    if (in_batch)
        stream->ops->batch_end(stream->owner);
}

static void filled(struct io_event *ev, int result)
{
    struct reply_stream *stream = container_of(ev, struct reply_stream, event);

    if (result != TRANSPORT_FILLED) {
        stream->receiving = false;
        stream->ops->failed(stream->owner, result);
        return;
    }
    stream->ops->batch_begin(stream->owner);
    if (take_filled(stream))
        fill(stream, true);
}
