/* What came back from the pipeline, on its way to the client. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "server/base/log.h"
#include "server/connection/transmission.h"
#include "server/connection/worker.h"

#define ERRORS_LOGGED_MAX 10u /* per connection: a failing disk must not fill the log */

/* In order of execution. */
static void note_error(struct transmission *t, struct command *command, const struct request *req);
static void answer(struct transmission *t, struct fragment *fragment, bool finished);
static void queue_data(struct transmission *t, struct fragment *fragment, bool finished);
static void queue_contiguous(struct transmission *t, struct fragment *fragment);
static void queue_end(struct transmission *t, struct fragment *fragment);
static void queue(struct transmission *t, struct fragment *fragment);
static void flush(struct loop_task *task);
static void send_ready(struct transmission *t);
static void send_finished(struct io_event *ev, int result);
static void drop_all(struct transmission *t);
/* What a client still sends that is not heard any more does not count: it might go on asking for
 * ever. */
static bool has_heard_all(const struct transmission *t)
{
    if (t->step == RECEIVE_FORGET)
        return true;
    return t->step == RECEIVE_COMMAND && (t->deaf || !t->transport->ops->has_unread(t->transport));
}

static void end_if_idle(struct transmission *t);

void reply_init(struct transmission *t)
{
    t->ready_end = &t->ready;
    t->blocked_end = &t->blocked;
    t->streams_end = &t->streams;
    t->flush_task.fn = flush;
    t->send_done.fn = send_finished;
    t->transport->send_done = &t->send_done;
}

/* ---- giving back ---- */

void command_give_back(struct command *command)
{
    struct transmission *t = command->transmission;

    t->commands--;
    command_release(t->worker->requests, command);
    if (t->worker->parked != NULL)
        loop_defer(t->worker->loop, &t->worker->unpark);
}

void fragment_give_back(struct fragment *fragment)
{
    struct command *command = fragment->command;
    struct transmission *t = command->transmission;
    struct buffer *buffer = fragment->request.buffer;
    bool last = fragment->last;

    if (buffer != NULL) {
        t->held_bytes -= buffer->capacity_bytes;
        buffer_release(t->worker->buffers, buffer);
    }
    command->fragments_held--;
    fragment_release(t->worker->requests, fragment);
    if (t->aborted) /* no order any more: over when the last one that is left comes back */
        last = command->fragments_held == 0 && !command->contiguous &&
               command->issued_bytes == command->request.length_bytes;
    if (last)
        command_give_back(command);
    else if (t->worker->parked != NULL)
        loop_defer(t->worker->loop, &t->worker->unpark);
}

/* ---- a request is done ---- */

void fragment_done(struct layer *owner, struct request *req)
{
    struct fragment *fragment = container_of(req, struct fragment, request);
    struct command *command = fragment->command;
    struct transmission *t = command->transmission;

    (void)owner;
    assert(command->fragments_in_flight > 0);
    command->fragments_in_flight--;
    if (req->error != 0)
        note_error(t, command, req);
    bool finished =
        command->fragments_in_flight == 0 && command->issued_bytes == command->request.length_bytes;
    if (t->aborted)
        fragment_give_back(fragment);
    else
        answer(t, fragment, finished);
    if (t->zeroes != NULL && !t->zeroing)
        loop_defer(t->worker->loop, &t->zeroes_task);
    loop_defer(t->worker->loop, &t->flush_task);
}

/* The first failure ends the command: what is not issued yet is not begun, except that the
 * payload of a write has to be read all the same. */
RARELY static void note_error(struct transmission *t, struct command *command,
                              const struct request *req)
{
    if (command->error == 0) {
        command->error = req->error;
        command->error_offset_bytes = req->view.offset_bytes;
        if (t->errors_logged < ERRORS_LOGGED_MAX)
            log_write_of(LOG_WARNING, t->talk->peer.text, "export '%s': %s at byte %llu failed: %s",
                         t->export->name, nbd_command_name(command->request.command),
                         (unsigned long long)req->view.offset_bytes, strerror(req->error));
        if (++t->errors_logged == ERRORS_LOGGED_MAX)
            log_write_of(LOG_WARNING, t->talk->peer.text,
                         "further errors of this client are not logged");
    }
    if (command->long_zeroes)
        transmission_zeroes_end(command);
    if (command->op == REQUEST_WRITE || t->current != command)
        return;
    command->issued_bytes = command->request.length_bytes;
    t->current = NULL;
    t->step = RECEIVE_HEADER;
}

/* Of a write, in a backend that keeps an account. */
static void note_epoch(struct command *command, uint32_t epoch)
{
    if (epoch != 0 && (command->epoch == 0 || epoch < command->epoch))
        command->epoch = epoch;
}

static void answer(struct transmission *t, struct fragment *fragment, bool finished)
{
    struct command *command = fragment->command;
    bool data = command->op == REQUEST_READ && command->error == 0 && fragment->data_bytes > 0;

    if (data && command->contiguous) {
        queue_contiguous(t, fragment);
    } else if (data) {
        queue_data(t, fragment, finished);
    } else if (command->header_queued) {
        /* A simple reply has begun with "success": the only way left to say it failed. */
        transmission_abort(t);
        fragment_give_back(fragment);
    } else {
        note_epoch(command, fragment->request.epoch);
        if (finished)
            queue_end(t, fragment);
        else
            fragment_give_back(fragment);
    }
}

/* ---- encoding ---- */

static void encode_chunk(struct fragment *fragment, uint16_t type, bool done, uint32_t length_bytes)
{
    struct nbd_chunk chunk = {
        .flags = done ? NBD_REPLY_FLAG_DONE : 0,
        .type = type,
        .cookie = fragment->command->request.cookie,
        .length_bytes = length_bytes,
    };

    nbd_encode_chunk(fragment->head, &chunk);
    fragment->head_bytes = NBD_CHUNK_HEADER_BYTES;
}

/* `error`: as on the wire; 0: success. */
static void encode_simple(struct fragment *fragment, uint32_t error)
{
    nbd_encode_simple_reply(fragment->head, error, fragment->command->request.cookie);
    fragment->head_bytes = NBD_SIMPLE_REPLY_BYTES;
}

/* A sentence for the person at the client: what failed, where, why. */
static uint16_t describe_error(struct transmission *t, struct command *command)
{
    const char *why = command->refusal != NULL ? command->refusal : strerror(command->error);
    int length = snprintf(command->message, sizeof command->message,
                          "%s of %u bytes at byte %llu: %s (export '%.64s')",
                          nbd_command_name(command->request.command), command->request.length_bytes,
                          (unsigned long long)command->error_offset_bytes, why, t->export->name);

    if (length < 0)
        return 0;
    return (uint16_t)(length < (int)sizeof command->message ? length
                                                            : (int)sizeof command->message - 1);
}

RARELY static void encode_error(struct transmission *t, struct fragment *fragment)
{
    struct command *command = fragment->command;
    uint32_t error = nbd_error_from_errno(command->error);
    uint16_t text_bytes = describe_error(t, command);

    log_write_of(LOG_DEBUG, t->talk->peer.text, "%s", command->message);
    if (!t->terms.structured) {
        encode_simple(fragment, error);
        return;
    }
    encode_chunk(fragment, NBD_REPLY_TYPE_ERROR, true, 6u + text_bytes);
    nbd_put_u32(fragment->head + NBD_CHUNK_HEADER_BYTES, error);
    nbd_put_u16(fragment->head + NBD_CHUNK_HEADER_BYTES + 4, text_bytes);
    fragment->head_bytes += 6;
    fragment->payload = (const uint8_t *)command->message;
    fragment->payload_bytes = text_bytes;
}

/* The list is turned into its wire form where it lies. */
static void encode_extents(struct fragment *fragment)
{
    struct extent_list *list = (struct extent_list *)(void *)fragment->request.view.data;
    uint32_t count = list->count;

    /* struct extent_list promises it.  The backends keep that where storage told nothing, and so
     * do the layers that drop or round what it told. */
    assert(count > 0);
    if (fragment->request.flags & REQUEST_ONE)
        count = 1;
    for (uint32_t i = 0; i < count; i++) {
        struct extent extent = list->extents[i];
        uint8_t *out = (uint8_t *)&list->extents[i];

        nbd_put_u32(out, extent.length_bytes);
        nbd_put_u32(out + 4, extent.flags);
    }
    encode_chunk(fragment, NBD_REPLY_TYPE_BLOCK_STATUS, true, 4 + count * 8);
    nbd_put_u32(fragment->head + NBD_CHUNK_HEADER_BYTES, NBD_CONTEXT_BASE_ALLOCATION_ID);
    fragment->head_bytes += 4;
    fragment->payload = (const uint8_t *)list->extents;
    fragment->payload_bytes = count * 8;
}

/* ---- queueing ---- */

static void stream_remove(struct transmission *t, struct command *command)
{
    struct command **link = &t->streams;

    while (*link != command)
        link = &(*link)->next;
    *link = command->next;
    if (t->streams_end == &command->next)
        t->streams_end = link;
    command->contiguous = false;
}

/* The answer to a command without data, or to one that failed. */
static void queue_end(struct transmission *t, struct fragment *fragment)
{
    struct command *command = fragment->command;

    if (command->contiguous) { /* failed before anything was sent: it is not a stream now */
        stream_remove(t, command);
        while (command->done != NULL) {
            struct fragment *next = command->done->next;

            fragment_give_back(command->done);
            command->done = next;
        }
    }
    if (command->epoch != 0 && command->error == 0)
        flusher_write_done(&t->flusher, command->epoch);
    if (command->error != 0)
        encode_error(t, fragment);
    else if (command->op == REQUEST_EXTENTS)
        encode_extents(fragment);
    else if (t->terms.structured)
        encode_chunk(fragment, NBD_REPLY_TYPE_NONE, true, 0);
    else
        encode_simple(fragment, 0);
    fragment->last = true;
    queue(t, fragment);
}

static void attach_payload(struct fragment *fragment)
{
    fragment->payload = fragment->request.view.data;
    fragment->payload_bytes = fragment->data_bytes;
}

static void queue_data(struct transmission *t, struct fragment *fragment, bool finished)
{
    if (t->terms.structured) {
        encode_chunk(fragment, NBD_REPLY_TYPE_OFFSET_DATA, finished, 8 + fragment->data_bytes);
        nbd_put_u64(fragment->head + NBD_CHUNK_HEADER_BYTES,
                    fragment->command->request.offset_bytes + fragment->start_bytes);
        fragment->head_bytes += 8;
    } else {
        encode_simple(fragment, 0);
    }
    attach_payload(fragment);
    fragment->last = finished;
    queue(t, fragment);
}

static void append(struct fragment ***end, struct fragment *fragment)
{
    fragment->next = NULL;
    **end = fragment;
    *end = &fragment->next;
}

static void queue(struct transmission *t, struct fragment *fragment)
{
    append(t->stream != NULL ? &t->blocked_end : &t->ready_end, fragment);
}

/* ---- contiguous reads: one at a time has the wire ---- */

/* Puts on the wire what is there of it, in order; true when it is complete. */
static bool stream_advance(struct transmission *t, struct command *command)
{
    while (command->done != NULL && command->done->start_bytes == command->queued_bytes) {
        struct fragment *fragment = command->done;

        command->done = fragment->next;
        t->stream = command;
        if (!command->header_queued)
            encode_simple(fragment, 0);
        command->header_queued = true;
        attach_payload(fragment);
        command->queued_bytes += fragment->data_bytes;
        fragment->last = command->queued_bytes == command->request.length_bytes;
        append(&t->ready_end, fragment);
        if (fragment->last)
            return true;
    }
    return false;
}

static void stream_end(struct transmission *t)
{
    t->stream = NULL;
    if (t->blocked == NULL)
        return;
    *t->ready_end = t->blocked;
    t->ready_end = t->blocked_end;
    t->blocked = NULL;
    t->blocked_end = &t->blocked;
}

static void streams_run(struct transmission *t)
{
    struct command *command = t->streams;

    while (command != NULL) {
        if ((t->stream != NULL && t->stream != command) || !stream_advance(t, command)) {
            command = command->next;
            continue;
        }
        stream_remove(t, command);
        stream_end(t);
        command = t->streams; /* an earlier one may have waited for this one */
    }
}

static void queue_contiguous(struct transmission *t, struct fragment *fragment)
{
    struct fragment **link = &fragment->command->done;

    while (*link != NULL && (*link)->start_bytes < fragment->start_bytes)
        link = &(*link)->next;
    fragment->next = *link;
    *link = fragment;
    streams_run(t);
}

/* ---- sending ---- */

/* Once per batch of completions, whatever became ready in it. */
static void flush(struct loop_task *task)
{
    struct transmission *t = container_of(task, struct transmission, flush_task);

    if (t->aborted && !t->sending) {
        drop_all(t);
    } else if (!t->aborted && !t->sending && t->ready != NULL) {
        if (t->flusher.answers > 0)
            flusher_answers_leave(&t->flusher);
        send_ready(t);
    }
    end_if_idle(t);
}

static void send_ready(struct transmission *t)
{
    uint32_t skip_bytes = t->sent_of_first_bytes;
    size_t total_bytes = 0;
    unsigned count = 0;

    for (struct fragment *fragment = t->ready;
         fragment != NULL && count + 2 <= TRANSMISSION_IOV_MAX &&
         total_bytes < TRANSMISSION_SEND_BYTES;
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
            t->iov[count].iov_base = (uint8_t *)parts[i].iov_base + skip;
            t->iov[count++].iov_len = parts[i].iov_len - skip;
            total_bytes += parts[i].iov_len - skip;
        }
    }
    t->sending = true;
    t->transport->ops->send(t->transport, t->iov, count);
}

static void send_finished(struct io_event *ev, int result)
{
    struct transmission *t = container_of(ev, struct transmission, send_done);

    t->sending = false;
    if (result < 0 && !t->aborted) {
        log_write_of(LOG_NOTICE, t->talk->peer.text, "connection lost: %s", strerror(-result));
        transmission_abort(t);
    }
    uint32_t sent_bytes = result < 0 ? 0 : (uint32_t)result + t->sent_of_first_bytes;
    t->sends++;
    while (result > 0 && t->ready != NULL) {
        struct fragment *fragment = t->ready;
        uint32_t length_bytes = fragment->head_bytes + fragment->payload_bytes;

        if (sent_bytes < length_bytes)
            break;
        sent_bytes -= length_bytes;
        t->ready = fragment->next;
        if (t->ready == NULL)
            t->ready_end = &t->ready;
        fragment_give_back(fragment);
    }
    t->sent_of_first_bytes = sent_bytes;
    loop_defer(t->worker->loop, &t->flush_task);
}

/* ---- the end ---- */

static void drop_list(struct fragment **list, struct fragment ***end)
{
    while (*list != NULL) {
        struct fragment *fragment = *list;

        *list = fragment->next;
        fragment_give_back(fragment);
    }
    *end = list;
}

/* Nobody will read the answers: everything that is not in the pipeline is given back. */
static void drop_all(struct transmission *t)
{
    drop_list(&t->ready, &t->ready_end);
    drop_list(&t->blocked, &t->blocked_end);
    t->stream = NULL;
    for (struct command **link = &t->streams; *link != NULL;) {
        struct command *command = *link;
        struct fragment **end = &command->done;

        drop_list(&command->done, &end);
        if (command->fragments_held > 0) {
            link = &command->next;
            continue;
        }
        *link = command->next;
        command_give_back(command);
    }
    t->streams_end = &t->streams;
}

static void end_if_idle(struct transmission *t)
{
    if (t->commands > 0 || t->sending || t->zeroes_posted || t->zeroes_task.queued ||
        t->turn_posted)
        return;
    if (t->step == RECEIVE_END && !t->recv_pending) {
        t->ended->fn(t->ended, 0);
    } else if (t->terms.draining && !t->finished && has_heard_all(t)) {
        t->finished = t->deaf = true;
        t->transport->ops->finish(t->transport);
    }
}
