#include "plugins/remote/remote-stream.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "server/base/utf8.h"

#define TEXT_SHOWN_BYTES 200u

void remote_stream_fail(struct remote_stream *stream, const char *reason)
{
    if (stream->failed)
        return;
    stream->failed = true;
    stream->owner->failed(stream, reason);
}

static void operation_ended(struct remote_stream *stream)
{
    if (stream->aborted && remote_stream_is_idle(stream))
        stream->owner->idle(stream);
}

/* ---- receiving ---- */

static void take(struct remote_stream *stream)
{
    const char *reason = remote_replies_take(&stream->replies);

    if (reason != NULL)
        remote_stream_fail(stream, reason);
}

/* Takes what is there, and asks for more. */
static void receive(struct remote_stream *stream)
{
    while (!stream->failed) {
        struct remote_part *part = &stream->replies.part;

        if (part->length_bytes > 0 &&
            !stream->transport->ops->recv(stream->transport, part->data, part->length_bytes)) {
            stream->receiving = true;
            return;
        }
        take(stream);
    }
}

static void received(struct io_event *ev, int result)
{
    struct remote_stream *stream = container_of(ev, struct remote_stream, recv_done);
    char reason[100];

    stream->receiving = false;
    if (result == TRANSPORT_FILLED && !stream->failed) {
        take(stream);
        receive(stream);
    } else if (result == TRANSPORT_END) {
        remote_stream_fail(stream, "");
    } else if (result < 0) {
        (void)snprintf(reason, sizeof reason, "receiving failed: %s", strerror(-result));
        remote_stream_fail(stream, reason);
    }
    operation_ended(stream);
}

static struct remote_stream *stream_of(struct remote_replies *replies)
{
    return container_of(replies, struct remote_stream, replies);
}

static void answered(struct remote_replies *replies, struct remote_slot *slot)
{
    struct remote_stream *stream = stream_of(replies);

    slot->answered = true;
    if (slot->unsent_bytes == 0)
        stream->owner->finished(stream, slot);
}

/* It goes to a log. */
static void complaint(struct remote_replies *replies, const struct remote_slot *slot,
                      const uint8_t *text, uint32_t text_bytes)
{
    struct remote_stream *stream = stream_of(replies);
    char words[TEXT_SHOWN_BYTES + 1];

    utf8_show_ascii(words, sizeof words, text, text_bytes);
    if (text_bytes > 0)
        stream->owner->complaint(stream, slot, words);
}

static const struct remote_replies_owner replies_owner = { answered, complaint };

/* ---- sending ---- */

static unsigned fill_iov(struct remote_stream *stream)
{
    unsigned count = 0;

    for (struct remote_slot *slot = stream->unsent; slot != NULL && count + 2 <= REMOTE_IOV_MAX;
         slot = slot->next) {
        slot->begun = true;
        if (slot->unsent_bytes > slot->data_bytes) {
            uint32_t left_bytes = slot->unsent_bytes - slot->data_bytes;

            stream->iov[count++] = (struct iovec){
                .iov_base = slot->header + slot->header_bytes - left_bytes,
                .iov_len = left_bytes,
            };
        }
        if (slot->data_bytes > 0) {
            uint32_t left_bytes =
                slot->unsent_bytes < slot->data_bytes ? slot->unsent_bytes : slot->data_bytes;

            stream->iov[count++] = (struct iovec){
                .iov_base = remote_command_data(slot) + slot->data_bytes - left_bytes,
                .iov_len = left_bytes,
            };
        }
    }
    return count;
}

void remote_stream_add(struct remote_stream *stream, struct remote_slot *slot)
{
    assert(slot->unsent_bytes == slot->header_bytes + slot->data_bytes);
    slot->next = NULL;
    *stream->unsent_end = slot;
    stream->unsent_end = &slot->next;
}

void remote_stream_flush(struct remote_stream *stream)
{
    if (stream->unsent == NULL || stream->sending || stream->failed)
        return;
    stream->sending = true;
    stream->transport->ops->send(stream->transport, stream->iov, fill_iov(stream));
}

/* The reply may be here before it is known that all of the command has been sent. */
static void advance(struct remote_stream *stream, uint32_t sent_bytes)
{
    while (sent_bytes > 0 && stream->unsent != NULL) {
        struct remote_slot *slot = stream->unsent;
        uint32_t count = sent_bytes < slot->unsent_bytes ? sent_bytes : slot->unsent_bytes;

        slot->unsent_bytes -= count;
        sent_bytes -= count;
        if (slot->unsent_bytes > 0)
            continue;
        stream->unsent = slot->next;
        if (stream->unsent == NULL)
            stream->unsent_end = &stream->unsent;
        if (slot->answered && !stream->failed)
            stream->owner->finished(stream, slot);
    }
}

static void sent(struct io_event *ev, int result)
{
    struct remote_stream *stream = container_of(ev, struct remote_stream, send_done);
    char reason[100];

    stream->sending = false;
    if (stream->said_goodbye) {
        remote_stream_abort(stream);
    } else if (result > 0) {
        advance(stream, (uint32_t)result);
        remote_stream_flush(stream);
    } else {
        (void)snprintf(reason, sizeof reason, "sending failed: %s", strerror(-result));
        remote_stream_fail(stream, result == -EPIPE ? "" : reason);
    }
    operation_ended(stream);
}

/* ---- life ---- */

void remote_stream_init(struct remote_stream *stream, const struct remote_stream_owner *owner,
                        struct remote_slot *slots, unsigned slot_count)
{
    *stream = (struct remote_stream){ .owner = owner };
    stream->unsent_end = &stream->unsent;
    stream->recv_done.fn = received;
    stream->send_done.fn = sent;
    remote_replies_init(&stream->replies, &replies_owner, slots, slot_count);
}

void remote_stream_start(struct remote_stream *stream, struct transport *transport,
                         const struct remote_connection *connection)
{
    assert(stream->transport == NULL && stream->unsent == NULL);
    stream->transport = transport;
    stream->failed = stream->aborted = stream->said_goodbye = false;
    transport->recv_done = &stream->recv_done;
    transport->send_done = &stream->send_done;
    remote_replies_begin(&stream->replies, connection);
    receive(stream);
}

bool remote_stream_is_open(const struct remote_stream *stream)
{
    return stream->transport != NULL;
}

bool remote_stream_is_idle(const struct remote_stream *stream)
{
    return !stream->receiving && !stream->sending;
}

void remote_stream_abort(struct remote_stream *stream)
{
    if (stream->aborted)
        return;
    stream->aborted = stream->failed = true;
    stream->transport->ops->abort(stream->transport);
}

void remote_stream_leave(struct remote_stream *stream)
{
    if (stream->failed || stream->sending || stream->said_goodbye) {
        remote_stream_abort(stream);
        return;
    }
    stream->said_goodbye = stream->sending = true;
    const struct nbd_request disconnect = { .command = NBD_CMD_DISC };
    bool extended = stream->replies.terms.extended_headers;
    if (extended)
        nbd_encode_extended_request(stream->goodbye, &disconnect);
    else
        nbd_encode_request(stream->goodbye, &disconnect);
    stream->iov[0] = (struct iovec){
        .iov_base = stream->goodbye,
        .iov_len = extended ? NBD_EXTENDED_REQUEST_BYTES : NBD_REQUEST_BYTES,
    };
    stream->transport->ops->send(stream->transport, stream->iov, 1);
}

void remote_stream_close(struct remote_stream *stream)
{
    assert(remote_stream_is_idle(stream));
    stream->transport->ops->close(stream->transport);
    stream->transport = NULL;
    stream->unsent = NULL;
    stream->unsent_end = &stream->unsent;
}
