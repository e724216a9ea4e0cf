#include "server/connection/transmission.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/log.h"
#include "server/connection/piece.h"
#include "server/connection/worker.h"

#define UNPARK_BATCH 64u /* for something that came back: however many wait */

/* In order of execution. */
static void receive(struct transmission *t);
static bool begin_command(struct transmission *t);
static bool discard_payload(struct transmission *t);
static bool issue_fragment(struct transmission *t);
static bool issue_answer(struct transmission *t, struct command *command);
static void fragment_done(struct layer *owner, struct request *req);
static void note_error(struct transmission *t, struct command *command, const struct request *req);
static void abandon_current(struct transmission *t);

void transmission_wait_for_room(struct transmission *t)
{
    struct worker *worker = t->worker;

    if (t->waiter.waits)
        return;
    waiting_line_join(&worker->parked, &t->waiter);
    command_record_parked(&t->record, holdings_wait(&t->holds));
    worker->room_wanted->fn(worker->room_wanted, 0);
}

static bool park(struct transmission *t)
{
    t->receive_waits = true;
    t->throttle.paid = t->current == NULL;
    if (t->current != NULL)
        command_record_wait(t->current);
    transmission_wait_for_room(t);
    return false;
}

/* A hundred commands may be there in one piece, and each of them may be work for the cipher: the
 * loop looks at what else has come before this connection goes on. */
static bool next_turn(struct transmission *t)
{
    t->awaited++;
    loop_post(t->worker->loop, &t->turn_message);
    return false;
}

/* True when the bytes are there already. */
static bool ask(struct transmission *t, void *data, uint32_t length_bytes)
{
    t->recv_pending = !t->transport->ops->recv(t->transport, data, length_bytes);
    return !t->recv_pending;
}

static _Thread_local uint8_t nowhere[16384];

static void receive(struct transmission *t)
{
    bool more = true;

    t->turn_commands = TRANSMISSION_TURN_COMMANDS;
    while (more)
        switch (t->step) {
        case RECEIVE_HEADER:
            t->step = RECEIVE_COMMAND;
            more = ask(t, t->header, t->header_bytes);
            if (!more)
                break;
            /* fall through */
        case RECEIVE_COMMAND:
            more = begin_command(t);
            break;
        case RECEIVE_QUERY:
            command_take_query(t->current, &t->terms, t->header);
            t->step = RECEIVE_ISSUE;
            break;
        case RECEIVE_DISCARD:
            more = discard_payload(t);
            break;
        case RECEIVE_ISSUE:
            more = issue_fragment(t);
            break;
        case RECEIVE_PAYLOAD: {
            struct fragment *fragment = t->receiving;

            t->receiving = NULL;
            command_record_go_on(fragment->command, fragment->start_bytes);
            t->step = t->current != NULL ? RECEIVE_ISSUE : RECEIVE_HEADER;
            if (fragment->command->error == 0)
                transmission_submit(t, fragment);
            else /* an earlier part failed: this one was only read away */
                fragment_done(NULL, &fragment->request);
            break;
        }
        case RECEIVE_FORGET:
            more = ask(t, nowhere, sizeof nowhere); /* more than is staged: its end is an event */
            break;
        case RECEIVE_END:
            more = false;
            break;
        }
    command_record_in_flight(&t->record, t->holds.commands);
}

static void turn_come(struct io_event *ev, int result)
{
    struct transmission *t = container_of(ev, struct transmission, turn_message.event);

    (void)result;
    t->awaited--;
    receive(t);
    loop_defer(t->worker->loop, &t->flush_task); /* the end may have waited for this */
}

static void recv_finished(struct io_event *ev, int result)
{
    struct transmission *t = container_of(ev, struct transmission, recv_done);

    t->recv_pending = false;
    t->receives++;
    if (result == TRANSPORT_FILLED && !t->aborted) {
        receive(t);
        return;
    }
    /* Between two commands the client may just go: what it asked for is still answered. */
    bool orderly =
        t->step == RECEIVE_FORGET || (result == TRANSPORT_END && t->step == RECEIVE_COMMAND);
    t->left_in_order = orderly && t->holds.commands == 0;
    t->step = RECEIVE_END;
    if (!orderly && !t->aborted) {
        conversation_log(t->talk, LOG_NOTICE, "connection lost in the middle of a request");
        transmission_abort(t);
    }
    abandon_current(t);
    loop_defer(t->worker->loop, &t->flush_task);
}

/* ---- a new command ---- */

/* Of the command that was begun: it was refused, or its range comes behind it. */
RARELY static bool take_care(struct transmission *t)
{
    if (t->current->error != 0)
        return transmission_begin_discard(t);
    t->step = RECEIVE_QUERY;
    return ask(t, t->header, (uint32_t)t->current->request.length_bytes);
}

RARELY static bool pass_limits(struct transmission *t)
{
    bool passes = throttle_pass(&t->throttle, t->header);

    t->awaited += !passes;
    return passes;
}

static inline __attribute__((always_inline)) bool begin_command(struct transmission *t)
{
    struct nbd_request request;

    if (!nbd_decode_request_of(t->header, t->terms.extended, &request)) {
        conversation_log(t->talk, LOG_NOTICE, "sent something that is not an NBD request; dropped");
        transmission_abort(t);
        return false;
    }
    if (t->suspended && !t->deaf)
        return !(t->held_up = true);
    if (t->deaf) {
        t->step = RECEIVE_FORGET;
        loop_defer(t->worker->loop, &t->flush_task); /* the end may have waited for this */
        return true;
    }
    if (request.command == NBD_CMD_DISC) {
        t->left_in_order = t->holds.commands == 0;
        t->step = RECEIVE_END;
        loop_defer(t->worker->loop, &t->flush_task);
        return false;
    }
    if (t->turn_commands-- == 0)
        return next_turn(t);
    if (export_is_limited(t->export) && !pass_limits(t))
        return false;
    struct command *command = holdings_take_command(&t->holds, t);
    if (command == NULL)
        return park(t);
    command->request = request;
    command_check(command, &t->terms);
    command_record_begin(&t->record, command);
    if (request.length_bytes >= SPARSE_READ_BYTES_MIN &&
        (request.command != NBD_CMD_READ || t->tells_holes) && transmission_set_aside(t, command)) {
        t->step = RECEIVE_HEADER;
        return true;
    }
    t->current = command;
    t->step = RECEIVE_ISSUE;
    return !command->needs_care || take_care(t);
}

/* The time that the header waits for has come, or the connection ends. */
static void limit_passed(struct io_event *ev, int result)
{
    struct transmission *t = container_of(ev, struct transmission, throttle.timer.event);

    (void)result;
    t->throttle.running = false;
    t->awaited--;
    t->turn_commands = TRANSMISSION_TURN_COMMANDS;
    if (t->suspended || !export_is_limited(t->export))
        throttle_end(&t->throttle);
    if (t->step == RECEIVE_COMMAND && begin_command(t)) {
        if (t->current != NULL && t->throttle.held_ns != 0)
            command_record_was_throttled(t->current, t->throttle.held_ns);
        receive(t);
    }
    loop_defer(t->worker->loop, &t->flush_task);
}

static bool discard_payload(struct transmission *t)
{
    uint32_t count = t->discard_bytes < sizeof nowhere ? t->discard_bytes : sizeof nowhere;

    t->discard_bytes -= count;
    if (t->discard_bytes == 0)
        t->step = t->current != NULL ? RECEIVE_ISSUE : RECEIVE_HEADER;
    return ask(t, nowhere, count);
}

/* ---- fragments ---- */

/* A fragment with a buffer of that size (0: without one); NULL when there is none now.  The stream
 * whose turn on the wire it is always gets on: what waits behind it gives nothing back before it is
 * through. */
static inline __attribute__((always_inline)) struct fragment *
take_fragment(struct transmission *t, struct command *command, uint32_t buffer_bytes)
{
    bool urgent = t->outbox.stream == command && command->fragments_held == 0;

    return holdings_take_fragment(&t->holds, command, buffer_bytes, urgent);
}

/* The next fragment of a command, ready for submit(); NULL: there is no room for it now. */
static struct fragment *issue_piece(struct transmission *t, struct command *command)
{
    struct piece piece = piece_next(&t->top->stage->limits, command);
    struct fragment *fragment = take_fragment(t, command, piece.buffer_bytes);
    if (fragment == NULL)
        return NULL;
    struct request *req = &fragment->request;
    fragment->start_bytes = command->issued_bytes;
    fragment->data_bytes = (uint32_t)piece.length_bytes;
    req->flags = command->request_flags;
    req->view = (struct view){ .op = command->op,
                               .offset_bytes = piece.offset_bytes,
                               .length_bytes = piece.length_bytes };
    if (req->buffer != NULL)
        req->view.data = req->buffer->base + piece.data_at;
    else
        req->flusher = &t->flusher;

    command->issued_bytes += piece.length_bytes;
    return fragment;
}

static bool issue_fragment(struct transmission *t)
{
    struct command *command = t->current;

    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): what is issued is there */
    if (command->refusal != NULL ||
        (command->request.length_bytes == 0 && command->op != REQUEST_FLUSH))
        return issue_answer(t, command);

    struct fragment *fragment = issue_piece(t, command);
    if (fragment == NULL)
        return park(t);
    struct view *view = &fragment->request.view;
    bool all_issued = command->issued_bytes == command->request.length_bytes;
    if (command->op == REQUEST_READ && !t->terms.structured && !all_issued && !command->contiguous)
        outbox_add_stream(&t->outbox, command); /* the first of several */
    if (all_issued)
        t->current = NULL;
    if (command->op == REQUEST_WRITE) {
        t->receiving = fragment;
        t->step = RECEIVE_PAYLOAD;
        command_record_wait(command);
        return ask(t, view->data, fragment->data_bytes);
    }
    t->step = all_issued ? RECEIVE_HEADER : RECEIVE_ISSUE;
    transmission_submit(t, fragment);
    return true;
}

bool transmission_answer_at_once(struct transmission *t, struct command *command)
{
    struct fragment *fragment = take_fragment(t, command, 0);

    if (fragment == NULL)
        return false;
    command->issued_bytes = command->request.length_bytes;
    fragment->request.view = (struct view){ .op = command->op };
    fragment_done(NULL, &fragment->request);
    return true;
}

/* A command that needs nothing of the pipeline: refused, or of length 0. */
static bool issue_answer(struct transmission *t, struct command *command)
{
    if (!transmission_answer_at_once(t, command))
        return park(t);
    t->current = NULL;
    t->step = RECEIVE_HEADER;
    return true;
}

void transmission_submit(struct transmission *t, struct fragment *fragment)
{
    struct request *req = &fragment->request;

    request_push(req, NULL, fragment_done);
    if (req->view.op == REQUEST_EXTENTS) {
        struct extent_list *list = piece_extents(req->view.data);

        req->context = command_context(fragment->command);
        if (t->terms.extended)
            req->flags |= REQUEST_WIDE;
        if (!(t->top->stage->limits.ops & OP_BIT(REQUEST_EXTENTS))) {
            extent_list_add(list, req->view.length_bytes, 0); /* all may be data */
            request_complete(req, 0);
            return;
        }
    }
    layer_submit(t->top, req);
}

/* ---- long zeroes ---- */

static bool issue_zeroes(struct long_zeroes *zeroes, struct command *command)
{
    struct transmission *t = container_of(zeroes, struct transmission, zeroes);
    struct fragment *fragment = issue_piece(t, command);

    if (fragment == NULL) {
        if (command->fragments_held == 0)
            transmission_wait_for_room(t);
        return false;
    }
    if (command->issued_bytes == command->request.length_bytes)
        long_zeroes_remove(zeroes, command);
    transmission_submit(t, fragment);
    return true;
}

static void zeroes_abandon(struct transmission *t)
{
    while (t->zeroes.first != NULL) {
        struct command *command = t->zeroes.first;

        long_zeroes_remove(&t->zeroes, command);
        command->error = ESHUTDOWN;
        if (command->fragments_held == 0)
            transmission_give_back(command);
    }
}

/* ---- waiting ---- */

void transmission_try_again(struct transmission *t)
{
    long_zeroes_go_on(&t->zeroes);
    transmission_issue_sparse(t);
    if (t->receive_waits) {
        t->receive_waits = false;
        if (t->current != NULL)
            command_record_go_on(t->current, t->current->issued_bytes);
        receive(t);
    }
}

static void unpark_some(struct loop_task *task)
{
    transmission_unpark(container_of(task, struct worker, unpark), UNPARK_BATCH);
}

static void unpark_for_good(struct transmission *t)
{
    if (t->waiter.waits)
        waiting_line_leave(&t->worker->parked, &t->waiter);
    command_record_parked(&t->record, holdings_go_on(&t->holds));
    t->receive_waits = false;
}

/* ---- what comes back ---- */

void transmission_give_back(struct command *command)
{
    command_record_end(&command->transmission->record, command);
    holdings_give_command(&command->transmission->holds, command);
}

/* Part of a BLOCK_STATUS that is asked for when it was begun. */
RARELY static void submit_status(struct transmission *t, struct fragment *fragment,
                                 uint64_t told_bytes)
{
    struct command *command = fragment->command;
    const struct nbd_request *request = &command->request;

    fragment->request.flags = command->request_flags;
    fragment->request.view = (struct view){ .op = REQUEST_EXTENTS,
                                            .offset_bytes = request->offset_bytes + told_bytes,
                                            .length_bytes = request->length_bytes - told_bytes,
                                            .data = fragment->request.buffer->base };
    command_record_not_ready(command);
    transmission_submit(t, fragment);
}

/* A part of a BLOCK_STATUS has left: when it was the last one of a context, the next context is
 * asked for.  Who has no buffer gets one, unless there is no memory at all. */
RARELY static void status_left(struct transmission *t, struct command *command)
{
    if (command->contexts == 0 || command->fragments_held > 0 || t->aborted) {
        holdings_tell(&t->holds);
        return;
    }
    struct fragment *fragment =
        holdings_take_fragment(&t->holds, command, PIECE_EXTENTS_BYTES, true);
    if (fragment != NULL) {
        submit_status(t, fragment, 0);
        return;
    }
    conversation_log(t->talk, LOG_WARNING, "not enough memory to go on; dropped");
    transmission_abort(t);
    transmission_give_back(command);
}

/* A fragment and its buffer, and its command when it is the last one. */
static void fragment_give_back(struct fragment *fragment)
{
    struct command *command = fragment->command;
    struct transmission *t = command->transmission;
    bool last = fragment->last;

    holdings_give_fragment(&t->holds, fragment);
    if (t->aborted) /* no order any more: over when the last one that is left comes back */
        last = command->fragments_held == 0 && !command->contiguous &&
               command->issued_bytes == command->request.length_bytes;
    if (last)
        transmission_give_back(command);
    else if (command->op == REQUEST_EXTENTS)
        status_left(t, command);
    else
        holdings_tell(&t->holds);
}

/* A request came back from the pipeline (a request_done_fn). */
static void fragment_done(struct layer *owner, struct request *req)
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
    if (finished)
        command_record_ready(command);
    if (t->aborted) {
        fragment_give_back(fragment);
    } else if (!outbox_put(&t->outbox, fragment, finished)) {
        transmission_abort(t);
        fragment_give_back(fragment);
    }
    long_zeroes_go_on(&t->zeroes);
    loop_defer(t->worker->loop, &t->flush_task);
}

/* The first failure ends the command: what is not issued yet is not begun, except that the
 * payload of a write has to be read all the same.  Of a read the client is told where the first
 * byte is that could not be read, whichever failed first. */
RARELY static void note_error(struct transmission *t, struct command *command,
                              const struct request *req)
{
    uint64_t at_bytes = req->view.offset_bytes;
    bool reads = command->op == REQUEST_READ, first = command->error == 0;

    if (reads && req->error_at_bytes < req->view.length_bytes)
        at_bytes += req->error_at_bytes;
    if (first || (reads && at_bytes < command->error_offset_bytes)) { /* nothing was told yet */
        command->error = req->error;
        command->error_offset_bytes = at_bytes;
    }
    if (first)
        command_log_error(command, t->errors_logged++, t->talk);
    if (command->long_zeroes)
        long_zeroes_remove(&t->zeroes, command);
    if (command->sparse)
        transmission_remove_sparse(t, command);
    if (command->op == REQUEST_WRITE || t->current != command)
        return;
    command->issued_bytes = command->request.length_bytes;
    t->current = NULL;
    t->step = RECEIVE_HEADER;
}

/* Another part of a BLOCK_STATUS. */
RARELY static bool ask_status(struct outbox *outbox, struct command *command)
{
    struct transmission *t = container_of(outbox, struct transmission, outbox);

    if (export_is_limited(t->export) && !throttle_takes_more(&t->throttle))
        return false;
    struct fragment *fragment = holdings_take_part(&t->holds, command, PIECE_EXTENTS_BYTES);
    if (fragment == NULL)
        return false;
    submit_status(t, fragment, command->status.told_bytes);
    return true;
}

static void send_failed(struct outbox *outbox, int result)
{
    struct transmission *t = container_of(outbox, struct transmission, outbox);

    if (!t->aborted)
        conversation_log(t->talk, LOG_NOTICE, "connection lost: %s", strerror(-result));
    transmission_abort(t);
}

static void end_if_idle(struct transmission *t)
{
    if (t->holds.commands > 0 || t->outbox.sending || !long_zeroes_are_idle(&t->zeroes) ||
        t->awaited > 0)
        return;
    if (t->step == RECEIVE_END && !t->recv_pending) {
        t->ended->fn(t->ended, !t->aborted);
    } else if (t->terms.draining && !t->finished && transmission_has_heard_all(t)) {
        t->finished = t->deaf = true;
        t->transport->ops->finish(t->transport);
    }
}

/* Once per batch of completions, whatever became ready in it. */
static void flush(struct loop_task *task)
{
    struct transmission *t = container_of(task, struct transmission, flush_task);

    if (!t->aborted)
        outbox_send(&t->outbox);
    else if (!t->outbox.sending)
        outbox_drop(&t->outbox);
    command_record_in_flight(&t->record, t->holds.commands);
    end_if_idle(t);
}

/* ---- life ---- */

struct transmission *transmission_start(struct conversation *talk, struct io_event *ended)
{
    struct transmission *t = calloc(1, sizeof *t);
    struct error err;

    if (t == NULL) {
        conversation_log(talk, LOG_WARNING, "not enough memory for a connection");
        return NULL;
    }
    if (export_attach(&t->top, talk->export, talk->worker->index, talk->worker->loop,
                      &talk->worker->parts, &err) < 0) {
        conversation_log(talk, LOG_ERROR, "export '%s': %s", talk->export->name, err.text);
        free(t);
        return NULL;
    }
    t->talk = talk;
    t->ended = ended;
    t->worker = talk->worker;
    t->transport = talk->transport;
    t->export = talk->export;
    command_record_init(&t->record, t->worker->board, talk->row, t->export->place, t->worker->index,
                        t->top);
    t->terms = command_terms_of(&talk->export->limits, &talk->negotiated);
    t->header_bytes = t->terms.extended ? NBD_EXTENDED_REQUEST_BYTES : NBD_REQUEST_BYTES;
    t->recv_done.fn = recv_finished;
    t->transport->recv_done = &t->recv_done;
    t->turn_message.event.fn = turn_come;
    t->flush_task.fn = flush;
    holdings_init(&t->holds, t->worker);
    t->worker->unpark.fn = unpark_some;
    throttle_init(&t->throttle, talk, &t->terms, &t->record, limit_passed);
    long_zeroes_init(&t->zeroes, &t->throttle, &t->top->stage->limits, issue_zeroes,
                     &t->flush_task);
    outbox_init(&t->outbox, talk,
                &(struct outbox_owner){ .flusher = &t->flusher,
                                        .after_send = &t->flush_task,
                                        .send_failed = send_failed,
                                        .give_fragment_back = fragment_give_back,
                                        .give_command_back = transmission_give_back,
                                        .ask_status = ask_status });
    flusher_begin(&t->flusher, t->top);
    t->sparse_end = &t->sparse;
    t->tells_holes = t->terms.structured && t->terms.limits->tells_zeros;
    t->step = RECEIVE_HEADER;
    t->suspended = export_is_suspended(talk->export, talk->worker->index);
    receive(t);
    return t;
}

void transmission_resume(struct transmission *t)
{
    bool goes_on = t->held_up && !t->aborted;

    t->suspended = t->held_up = false;
    if (goes_on) {
        receive(t);
        loop_defer(t->worker->loop, &t->flush_task);
    }
}

/* The command of which only a part has arrived or was issued. */
static void abandon_current(struct transmission *t)
{
    struct command *command = t->current;
    struct fragment *fragment = t->receiving;

    t->current = NULL;
    t->receiving = NULL;
    if (command == NULL && fragment != NULL)
        command = fragment->command;
    if (command == NULL)
        return;
    command->issued_bytes = command->request.length_bytes;
    if (command->error == 0)
        command->error = ESHUTDOWN;
    if (fragment != NULL)
        fragment_done(NULL, &fragment->request);
    else if (command->fragments_held == 0 && !command->contiguous)
        transmission_give_back(command); /* the outbox ends the streams */
}

void transmission_shutdown(struct transmission *t)
{
    t->terms.draining = t->deaf = true;
    transmission_resume(t); /* what it asks for is not heard any more */
    throttle_end(&t->throttle);
    long_zeroes_hurry(&t->zeroes);
    loop_defer(t->worker->loop, &t->flush_task);
}

void transmission_abort(struct transmission *t)
{
    if (t->aborted)
        return;
    t->aborted = true;
    command_record_abort(&t->record);
    t->transport->ops->abort(t->transport);
    unpark_for_good(t);
    throttle_end(&t->throttle);
    zeroes_abandon(t);
    transmission_abandon_sparse(t);
    if (!t->recv_pending) {
        t->step = RECEIVE_END;
        abandon_current(t);
    }
    loop_defer(t->worker->loop, &t->flush_task);
}

void transmission_free(struct transmission *t)
{
    assert(t->holds.commands == 0 && t->holds.bytes == 0 && !t->outbox.sending && !t->recv_pending);
    assert(!t->flush_task.queued && t->sparse == NULL && long_zeroes_are_idle(&t->zeroes) &&
           t->awaited == 0);
    throttle_free(&t->throttle);
    unpark_for_good(t);
    flusher_end(&t->flusher, t->left_in_order && !t->aborted);
    holdings_end(&t->holds);
    command_record_free(&t->record);
    free(t);
}
