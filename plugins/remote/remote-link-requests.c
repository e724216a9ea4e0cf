#include "plugins/remote/remote-link-internal.h"

#include <errno.h>

void remote_link_submit(struct remote_link *link, struct request *req)
{
    if (link->abandoned) {
        link->give_over(req);
        return;
    }
    remote_command_restart(req);
    if (!remote_link_is_connected(link) && remote_link_answer_flush(link, req))
        return;
    remote_queue_append(&link->waiting, req);
    loop_defer(link->loop, &link->work);
}

/* Who nobody knows was told of nothing. */
static uint64_t told_of(const struct request *flush)
{
    return flush->flusher != NULL ? atomic_load(&flush->flusher->told) : 0;
}

/* A FLUSH that has to fail, does. */
static bool refuse_flush(struct remote_link *link, struct request *req)
{
    if (req->view.op != REQUEST_FLUSH ||
        !remote_ledger_flush_refused(&link->server->ledger, told_of(req)))
        return false;
    link->answer(req, EIO);
    return true;
}

bool remote_link_answer_flush(struct remote_link *link, struct request *req)
{
    if (refuse_flush(link, req))
        return true;
    if (req->view.op != REQUEST_FLUSH ||
        !remote_ledger_flush_is_void(&link->server->ledger, req->view.offset_bytes))
        return false;
    link->answer(req, 0);
    return true;
}

static struct remote_slot *slot_take(struct remote_link *link, struct request *req)
{
    struct remote_slot *slot = link->free;

    link->free = slot->next;
    slot->req = req;
    slot->cookie = link->commands++ * REMOTE_SLOTS + (uint64_t)(slot - link->slots);
    slot->sent_ms = link->server->timeout_ms > 0 ? channel_clock_ms() : 0;
    link->in_flight++;
    return slot;
}

void remote_link_slot_release(struct remote_link *link, struct remote_slot *slot)
{
    slot->req = NULL;
    slot->next = link->free;
    link->free = slot;
    link->in_flight--;
}

/* One FLUSH is under way at a time.  A server may tell of lost data once, and of two the one that
 * succeeds may be answered first: it would be believed before the other one is known to have
 * failed. */
static bool hold_flush(struct remote_link *link, struct request *req)
{
    if (remote_command_op(req) != REQUEST_FLUSH)
        return false;
    if (!link->flushing) {
        link->flushing = true;
        return false;
    }
    remote_queue_append(&link->held, req);
    return true;
}

/* The last one of a client goes first: what it covers makes most of the others void. */
void remote_link_flush_ended(struct remote_link *link)
{
    struct request *req;

    link->flushing = false;
    while ((req = remote_queue_take(&link->held)) != NULL)
        if (!remote_link_answer_flush(link, req))
            remote_queue_prepend(&link->waiting, req);
}

void remote_link_send_waiting(struct remote_link *link)
{
    struct request *req;

    while (link->free != NULL && (req = remote_queue_take(&link->waiting)) != NULL) {
        if (refuse_flush(link, req) || hold_flush(link, req))
            continue;
        struct remote_slot *slot = slot_take(link, req);
        int error = remote_command_prepare(slot, &link->server->features);
        if (error == 0) {
            remote_stream_add(&link->stream, slot);
            continue;
        }
        if (remote_command_op(req) == REQUEST_FLUSH)
            remote_link_flush_ended(link);
        remote_link_slot_release(link, slot);
        link->answer(req, error);
    }
    remote_stream_flush(&link->stream);
}

void remote_link_finished(struct remote_link *link, struct remote_slot *slot)
{
    slot->next = NULL;
    *link->finished_end = slot;
    link->finished_end = &slot->next;
}

bool remote_link_drop_if_stale(struct remote_link *link)
{
    if (remote_link_is_primary(link) ||
        remote_ledger_is_current(&link->server->ledger, link->generation))
        return false;
    remote_link_distrusts(link, "another connection was lost");
    return true;
}

/* Whether it is as if the command had never been sent. */
static bool is_unanswered(struct remote_link *link, int error)
{
    if (error == ESHUTDOWN) {
        remote_link_distrusts(link, "the server is shutting down");
        return true;
    }
    return remote_link_drop_if_stale(link);
}

/* A part of a write is done, or all of it: for the account, unless it is durable. */
static void note_epoch(const struct remote_link *link, struct request *req, uint32_t epoch)
{
    bool writes = req->view.op == REQUEST_WRITE || req->view.op == REQUEST_ZERO ||
                  remote_needs_flush(req, &link->server->features);

    if (writes && req->epoch == 0 && !(req->flags & REQUEST_FUA && link->server->features.fua))
        req->epoch = epoch;
}

/* The server could not make something durable, and what else it dropped it may never tell. */
static void note_failure(struct remote_link *link, const struct request *req, int error)
{
    bool was_to_be_durable = req->flags & REQUEST_FUA && link->server->features.fua;

    if (remote_command_op(req) == REQUEST_FLUSH ||
        (was_to_be_durable && (error == EIO || error == ENOSPC)))
        remote_ledger_sync_failed(&link->server->ledger);
}

/* All commands of a request are done but, perhaps, the FLUSH that makes it durable.  Where
 * something was lost between a write and its FLUSH, it may have been this write: it is done
 * again. */
static void finish(struct remote_link *link, struct request *req, uint32_t epoch)
{
    bool flushed = req->backend_step == REMOTE_THEN_FLUSH;
    int error = 0;

    if (!flushed && remote_needs_flush(req, &link->server->features)) {
        req->backend_step = REMOTE_THEN_FLUSH;
        remote_queue_append(&link->waiting, req);
        return;
    }
    if (flushed && req->epoch != 0 && req->epoch != epoch) {
        remote_command_restart(req);
        remote_queue_append(&link->waiting, req);
        return;
    }
    if (flushed)
        req->epoch = 0; /* it is durable */
    else if (req->view.op == REQUEST_FLUSH)
        error =
            remote_ledger_flush_done(&link->server->ledger, req->view.offset_bytes, told_of(req));
    link->answer(req, error);
}

/* A command has ended; so may its request have. */
static void settle(struct remote_link *link, struct request *req, uint32_t piece_bytes, int error)
{
    enum request_op op = remote_command_op(req);
    uint32_t epoch = remote_ledger_epoch(&link->server->ledger); /* before is_unanswered() */

    if (is_unanswered(link, error)) {
        remote_queue_append(&link->waiting, req);
        return;
    }
    link->trouble_since_ms = 0;
    link->pause_ms = 0;
    if (error != 0) {
        note_failure(link, req, error);
        if (op == REQUEST_FLUSH)
            remote_link_flush_ended(link);
        link->answer(req, error);
        return;
    }
    note_epoch(link, req, epoch);
    if (op == REQUEST_READ || op == REQUEST_WRITE) {
        req->progress_bytes += piece_bytes;
        if (req->progress_bytes < req->view.length_bytes) {
            remote_queue_prepend(&link->waiting, req);
            return;
        }
    }
    finish(link, req, epoch);
    if (op == REQUEST_FLUSH)
        remote_link_flush_ended(link);
}

void remote_link_reap(struct remote_link *link)
{
    while (link->finished != NULL) {
        struct remote_slot *slot = link->finished;
        struct request *req = slot->req;

        link->finished = slot->next;
        if (link->finished == NULL)
            link->finished_end = &link->finished;
        uint32_t piece_bytes = slot->piece_bytes;
        int error = slot->error;
        remote_link_slot_release(link, slot);
        settle(link, req, piece_bytes, error);
    }
    if (link->free != NULL && link->waiting.first != NULL && !link->stream.failed)
        loop_defer(link->loop, &link->work);
}
