#include <errno.h>

#include "server/connection/transmission.h"
#include "server/connection/worker.h"

/* In order of execution. */
static bool look(struct transmission *t, struct command *command);
static void looked(struct layer *owner, struct request *req);
static bool issue_part(struct transmission *t, struct command *command);
static void put_hole(struct transmission *t, struct fragment *fragment);

bool transmission_set_aside(struct transmission *t, struct command *command)
{
    if (command->op == REQUEST_READ)
        return sparse_read_wants_look(&t->sparse_knowledge, command, loop_now_ns()) &&
               look(t, command);
    if (!long_zeroes_take(command, &t->top->stage->limits))
        return false;
    long_zeroes_add(&t->zeroes, command);
    return true;
}

/* ---- sparse reads ---- */

/* Where there is no room for it, it is read like others. */
static bool look(struct transmission *t, struct command *command)
{
    struct byte_range window =
        sparse_read_window(&t->sparse_knowledge, command, &t->top->stage->limits);
    struct fragment *fragment =
        holdings_take_fragment(&t->holds, command, SPARSE_READ_LIST_BYTES, false);

    if (fragment == NULL)
        return false;
    struct request *req = &fragment->request;
    struct extent_list *list = (struct extent_list *)(void *)req->buffer->base;
    req->view = (struct view){ .op = REQUEST_EXTENTS,
                               .offset_bytes = window.offset_bytes,
                               .length_bytes = window.size_bytes,
                               .data = req->buffer->base };
    extent_list_clear(list);
    list->capacity = (SPARSE_READ_LIST_BYTES - sizeof *list) / sizeof list->extents[0];
    request_push(req, NULL, looked);
    layer_submit(t->top, req);
    return true;
}

/* What was not found out is read.  The buffer goes back before others are asked for: who waits for
 * those must not hold one. */
static void looked(struct layer *owner, struct request *req)
{
    struct fragment *fragment = container_of(req, struct fragment, request);
    struct command *command = fragment->command;
    struct transmission *t = command->transmission;

    (void)owner;
    if (req->error == 0)
        sparse_read_note(&t->sparse_knowledge, command,
                         (const struct extent_list *)(const void *)req->view.data,
                         req->view.offset_bytes, loop_now_ns());
    else
        sparse_read_note_nothing(command);
    command->fragments_in_flight--;
    holdings_give_fragment(&t->holds, fragment);
    if (t->aborted) {
        command->issued_bytes = command->request.length_bytes;
        command->error = ESHUTDOWN;
        transmission_give_back(command);
    } else {
        holdings_tell(&t->holds);
        command->sparse = true;
        command->next = NULL;
        *t->sparse_end = command;
        t->sparse_end = &command->next;
        transmission_issue_sparse(t);
    }
    loop_defer(t->worker->loop, &t->flush_task);
}

void transmission_issue_sparse(struct transmission *t)
{
    while (t->sparse != NULL && issue_part(t, t->sparse))
        ;
    if (t->sparse != NULL)
        transmission_wait_for_room(t);
}

static bool issue_part(struct transmission *t, struct command *command)
{
    struct piece piece;
    bool hole = sparse_read_next(&piece, &t->top->stage->limits, command);
    struct fragment *fragment =
        holdings_take_fragment(&t->holds, command, piece.buffer_bytes, false);

    if (fragment == NULL)
        return false;
    struct request *req = &fragment->request;
    fragment->start_bytes = command->issued_bytes;
    fragment->data_bytes = (uint32_t)piece.length_bytes;
    req->flags = command->request_flags;
    req->view = (struct view){ .op = REQUEST_READ,
                               .offset_bytes = piece.offset_bytes,
                               .length_bytes = piece.length_bytes };
    command->issued_bytes += piece.length_bytes;
    if (command->issued_bytes == command->request.length_bytes)
        transmission_remove_sparse(t, command);
    if (hole) {
        put_hole(t, fragment);
    } else {
        req->view.data = req->buffer->base + piece.data_at;
        transmission_submit(t, fragment);
    }
    return true;
}

/* It is through the pipeline already. */
static void put_hole(struct transmission *t, struct fragment *fragment)
{
    struct command *command = fragment->command;

    command->fragments_in_flight--;
    bool finished = command->fragments_in_flight == 0 && !command->sparse;
    if (finished)
        command_record_ready(command);
    outbox_put_hole(&t->outbox, fragment, finished);
    loop_defer(t->worker->loop, &t->flush_task);
}

void transmission_remove_sparse(struct transmission *t, struct command *command)
{
    struct command **link = &t->sparse;

    while (*link != command)
        link = &(*link)->next;
    *link = command->next;
    if (t->sparse_end == &command->next)
        t->sparse_end = link;
    command->sparse = false;
    command->issued_bytes = command->request.length_bytes;
}

void transmission_abandon_sparse(struct transmission *t)
{
    while (t->sparse != NULL) {
        struct command *command = t->sparse;

        transmission_remove_sparse(t, command);
        command->error = ESHUTDOWN;
        if (command->fragments_held == 0)
            transmission_give_back(command);
    }
}
