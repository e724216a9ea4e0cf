#include "server/connection/outbox.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "server/base/log.h"
#include "server/connection/chunk-head.h"
#include "server/connection/status-reply.h"
#include "server/connection/worker.h"
#include "server/export/export.h"

/* In order of execution. */
static void queue(struct outbox *outbox, struct fragment *fragment);
static void send_finished(struct io_event *ev, int result);

void outbox_init(struct outbox *outbox, const struct conversation *talk,
                 const struct outbox_owner *owner)
{
    outbox->owner = *owner;
    outbox->talk = talk;
    outbox->transport = talk->transport;
    outbox->transport->send_done = &outbox->send_done;
    outbox->send_done.fn = send_finished;
    outbox->structured = talk->negotiated.structured_replies;
    outbox->extended = talk->negotiated.extended_headers;
    outbox->ready_end = &outbox->ready;
    outbox->blocked_end = &outbox->blocked;
    outbox->streams_end = &outbox->streams;
    outbox->gathered_end = &outbox->gathered;
}

static void add_to(struct command ***end, struct command *command)
{
    command->contiguous = true;
    **end = command;
    *end = &command->next;
}

void outbox_add_stream(struct outbox *outbox, struct command *command)
{
    add_to(&outbox->streams_end, command);
}

/* ---- encoding ---- */

/* The header of a chunk with data.  Where it lies is known to the compiler, for each of both. */
static void encode_data_chunk(const struct outbox *outbox, struct fragment *fragment, bool done)
{
    const struct nbd_request *request = &fragment->command->request;
    struct nbd_chunk chunk =
        chunk_head_of(fragment, NBD_REPLY_TYPE_OFFSET_DATA, done, 8 + fragment->data_bytes);
    uint64_t at_bytes = request->offset_bytes + fragment->start_bytes;

    if (__builtin_expect(outbox->extended, false)) {
        nbd_encode_extended_chunk(fragment->head, &chunk, request->offset_bytes);
        nbd_put_u64(fragment->head + NBD_EXTENDED_CHUNK_HEADER_BYTES, at_bytes);
        fragment->head_bytes = NBD_EXTENDED_CHUNK_HEADER_BYTES + 8;
    } else {
        nbd_encode_chunk(fragment->head, &chunk);
        nbd_put_u64(fragment->head + NBD_CHUNK_HEADER_BYTES, at_bytes);
        fragment->head_bytes = NBD_CHUNK_HEADER_BYTES + 8;
    }
}

/* `error`: as on the wire; 0: success. */
static void encode_simple(struct fragment *fragment, uint32_t error)
{
    nbd_encode_simple_reply(fragment->head, error, fragment->command->request.cookie);
    fragment->head_bytes = NBD_SIMPLE_REPLY_BYTES;
}

/* A sentence for the person at the client: what failed, where, why. */
static uint16_t describe_error(struct outbox *outbox, struct command *command)
{
    const char *why = command->refusal != NULL ? command->refusal : strerror(command->error);
    int length =
        snprintf(command->message, sizeof command->message,
                 "%s of %llu bytes at byte %llu: %s (export '%.64s')",
                 nbd_command_name(command->request.command),
                 (unsigned long long)command->request.length_bytes,
                 (unsigned long long)command->error_offset_bytes, why, outbox->talk->export->name);

    if (length < 0)
        return 0;
    return (uint16_t)(length < (int)sizeof command->message ? length
                                                            : (int)sizeof command->message - 1);
}

/* A read that failed in the storage says where, for programs, too. */
static bool tells_where(const struct command *command)
{
    return command->op == REQUEST_READ && command->refusal == NULL &&
           command->error_offset_bytes - command->request.offset_bytes <
               command->request.length_bytes;
}

RARELY static void encode_error(struct outbox *outbox, struct fragment *fragment)
{
    struct command *command = fragment->command;
    uint32_t error = nbd_error_from_errno(command->error);
    uint16_t text_bytes = describe_error(outbox, command);

    conversation_log(outbox->talk, LOG_DEBUG, "%s", command->message);
    if (!outbox->structured) {
        encode_simple(fragment, error);
        return;
    }
    bool where = tells_where(command);
    uint16_t tail_bytes = where ? sizeof command->error_offset_bytes : 0;
    if (text_bytes > sizeof command->message - tail_bytes)
        text_bytes = (uint16_t)(sizeof command->message - tail_bytes);
    if (where)
        nbd_put_u64((uint8_t *)command->message + text_bytes, command->error_offset_bytes);
    chunk_head_put(fragment, outbox->extended,
                   where ? NBD_REPLY_TYPE_ERROR_OFFSET : NBD_REPLY_TYPE_ERROR, true,
                   6u + text_bytes + tail_bytes);
    nbd_put_u32(fragment->head + fragment->head_bytes, error);
    nbd_put_u16(fragment->head + fragment->head_bytes + 4, text_bytes);
    fragment->head_bytes += 6;
    fragment->payload = (const uint8_t *)command->message;
    fragment->payload_bytes = (uint32_t)text_bytes + tail_bytes;
}

/* ---- queueing ---- */

static void take_from(struct command **link, struct command ***end, struct command *command)
{
    while (*link != command)
        link = &(*link)->next;
    *link = command->next;
    if (*end == &command->next)
        *end = link;
    command->contiguous = false;
}

static void stream_remove(struct outbox *outbox, struct command *command)
{
    take_from(&outbox->streams, &outbox->streams_end, command);
}

/* It failed before anything was sent: it is not a stream now. */
RARELY static void stream_give_up(struct outbox *outbox, struct command *command)
{
    stream_remove(outbox, command);
    while (command->done != NULL) {
        struct fragment *next = command->done->next;

        outbox->owner.give_fragment_back(command->done);
        command->done = next;
    }
}

/* ---- block status ---- */

/* All of it at once, so that nothing comes between. */
static void status_end(struct outbox *outbox, struct command *command)
{
    struct fragment *part = status_reply_end(command, outbox->extended);

    if (command->contiguous)
        take_from(&outbox->gathered, &outbox->gathered_end, command);
    while (part != NULL) {
        struct fragment *next = part->next;

        part->last = next == NULL && command->contexts == 0;
        queue(outbox, part);
        part = next;
    }
}

/* A part that fails ends the reply: what is known is told, and who asks for the rest is told why
 * not. */
static void put_status(struct outbox *outbox, struct fragment *fragment)
{
    struct command *command = fragment->command;

    if (command->error != 0) {
        command->error = 0;
        outbox->owner.give_fragment_back(fragment);
        status_end(outbox, command);
        return;
    }
    status_reply_add(command, fragment, outbox->extended);
    if (status_reply_goes_on(command)) {
        if (!command->contiguous)
            add_to(&outbox->gathered_end, command);
        if (outbox->owner.ask_status(outbox, command))
            return;
    }
    status_end(outbox, command);
}

void outbox_put_end(struct outbox *outbox, struct fragment *fragment)
{
    struct command *command = fragment->command;

    if (command->op == REQUEST_EXTENTS && (command->error == 0 || command->done != NULL)) {
        put_status(outbox, fragment);
        return;
    }
    if (command->contiguous)
        stream_give_up(outbox, command);
    if (command->epoch != 0 && command->error == 0)
        flusher_write_done(outbox->owner.flusher, command->epoch);
    if (command->error != 0)
        encode_error(outbox, fragment);
    else if (outbox->structured)
        chunk_head_put(fragment, outbox->extended, NBD_REPLY_TYPE_NONE, true, 0);
    else
        encode_simple(fragment, 0);
    fragment->last = true;
    queue(outbox, fragment);
}

static void attach_payload(struct fragment *fragment)
{
    fragment->payload = fragment->request.view.data;
    fragment->payload_bytes = fragment->data_bytes;
}

void outbox_put_data(struct outbox *outbox, struct fragment *fragment, bool finished)
{
    if (outbox->structured)
        encode_data_chunk(outbox, fragment, finished);
    else
        encode_simple(fragment, 0);
    attach_payload(fragment);
    fragment->last = finished;
    queue(outbox, fragment);
}

void outbox_put_hole(struct outbox *outbox, struct fragment *fragment, bool finished)
{
    chunk_head_put(fragment, outbox->extended, NBD_REPLY_TYPE_OFFSET_HOLE, finished, 12);
    nbd_put_u64(fragment->head + fragment->head_bytes,
                fragment->command->request.offset_bytes + fragment->start_bytes);
    nbd_put_u32(fragment->head + fragment->head_bytes + 8, fragment->data_bytes);
    fragment->head_bytes += 12;
    fragment->last = finished;
    queue(outbox, fragment);
}

static void append(struct fragment ***end, struct fragment *fragment)
{
    fragment->next = NULL;
    **end = fragment;
    *end = &fragment->next;
}

static void queue(struct outbox *outbox, struct fragment *fragment)
{
    append(outbox->stream != NULL ? &outbox->blocked_end : &outbox->ready_end, fragment);
}

/* ---- contiguous reads: one at a time has the wire ---- */

/* Puts on the wire what is there of it, in order; true when it is complete. */
static bool stream_advance(struct outbox *outbox, struct command *command)
{
    while (command->done != NULL && command->done->start_bytes == command->queued_bytes) {
        struct fragment *fragment = command->done;

        command->done = fragment->next;
        outbox->stream = command;
        if (!command->header_queued)
            encode_simple(fragment, 0);
        command->header_queued = true;
        attach_payload(fragment);
        command->queued_bytes += fragment->data_bytes;
        fragment->last = command->queued_bytes == command->request.length_bytes;
        append(&outbox->ready_end, fragment);
        if (fragment->last)
            return true;
    }
    return false;
}

static void stream_end(struct outbox *outbox)
{
    outbox->stream = NULL;
    if (outbox->blocked == NULL)
        return;
    *outbox->ready_end = outbox->blocked;
    outbox->ready_end = outbox->blocked_end;
    outbox->blocked = NULL;
    outbox->blocked_end = &outbox->blocked;
}

static void streams_run(struct outbox *outbox)
{
    struct command *command = outbox->streams;

    while (command != NULL) {
        if ((outbox->stream != NULL && outbox->stream != command) ||
            !stream_advance(outbox, command)) {
            command = command->next;
            continue;
        }
        stream_remove(outbox, command);
        stream_end(outbox);
        command = outbox->streams; /* an earlier one may have waited for this one */
    }
}

void outbox_put_stream(struct outbox *outbox, struct fragment *fragment)
{
    struct fragment **link = &fragment->command->done;

    while (*link != NULL && (*link)->start_bytes < fragment->start_bytes)
        link = &(*link)->next;
    fragment->next = *link;
    *link = fragment;
    streams_run(outbox);
}

/* ---- sending ---- */

void outbox_send_ready(struct outbox *outbox)
{
    uint32_t skip_bytes = outbox->sent_of_first_bytes;
    size_t total_bytes = 0;
    unsigned count = 0;

    if (outbox->owner.flusher->answers > 0)
        flusher_answers_leave(outbox->owner.flusher);
    for (struct fragment *fragment = outbox->ready;
         fragment != NULL && count + 2 <= OUTBOX_IOV_MAX && total_bytes < OUTBOX_SEND_BYTES;
         fragment = fragment->next) {
        struct iovec parts[2] = {
            { .iov_base = fragment->head, .iov_len = fragment->head_bytes },
            { .iov_base = (void *)(uintptr_t)fragment->payload,
              .iov_len = fragment->payload_bytes },
        };

        for (unsigned i = 0; i < 2; i++) {
            size_t skip = skip_bytes < parts[i].iov_len ? skip_bytes : parts[i].iov_len;

            skip_bytes -= (uint32_t)skip;
            if (skip == parts[i].iov_len)
                continue;
            outbox->iov[count].iov_base = (uint8_t *)parts[i].iov_base + skip;
            outbox->iov[count++].iov_len = parts[i].iov_len - skip;
            total_bytes += parts[i].iov_len - skip;
        }
    }
    outbox->sending = true;
    outbox->transport->ops->send(outbox->transport, outbox->iov, count);
}

static void send_finished(struct io_event *ev, int result)
{
    struct outbox *outbox = container_of(ev, struct outbox, send_done);

    outbox->sending = false;
    outbox->sends++;
    if (result < 0)
        outbox->owner.send_failed(outbox, result);
    uint32_t sent_bytes = result < 0 ? 0 : (uint32_t)result + outbox->sent_of_first_bytes;
    while (result > 0 && outbox->ready != NULL) {
        struct fragment *fragment = outbox->ready;
        uint32_t length_bytes = fragment->head_bytes + fragment->payload_bytes;

        if (sent_bytes < length_bytes)
            break;
        sent_bytes -= length_bytes;
        outbox->ready = fragment->next;
        if (outbox->ready == NULL)
            outbox->ready_end = &outbox->ready;
        outbox->owner.give_fragment_back(fragment);
    }
    outbox->sent_of_first_bytes = sent_bytes;
    loop_defer(outbox->talk->worker->loop, outbox->owner.after_send);
}

/* ---- the end ---- */

static void drop_list(struct outbox *outbox, struct fragment **list, struct fragment ***end)
{
    while (*list != NULL) {
        struct fragment *fragment = *list;

        *list = fragment->next;
        outbox->owner.give_fragment_back(fragment);
    }
    *end = list;
}

/* Those of which nothing is in the pipeline any more; the others next time. */
static void drop_contiguous(struct outbox *outbox, struct command **link,
                            struct command ***list_end)
{
    while (*link != NULL) {
        struct command *command = *link;
        struct fragment **end = &command->done;

        drop_list(outbox, &command->done, &end);
        if (command->fragments_held > 0) {
            link = &command->next;
            continue;
        }
        *link = command->next;
        outbox->owner.give_command_back(command);
    }
    *list_end = link;
}

void outbox_drop(struct outbox *outbox)
{
    drop_list(outbox, &outbox->ready, &outbox->ready_end);
    drop_list(outbox, &outbox->blocked, &outbox->blocked_end);
    outbox->stream = NULL;
    drop_contiguous(outbox, &outbox->streams, &outbox->streams_end);
    drop_contiguous(outbox, &outbox->gathered, &outbox->gathered_end);
}
