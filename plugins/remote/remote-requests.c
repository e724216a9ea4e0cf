#include "plugins/remote/remote-requests.h"

#include <errno.h>

#include "server/base/log.h"

#define PACED_EXTENTS_MIN 1024u

void remote_requests_init(struct remote_requests *requests, struct remote_server *server,
                          struct remote_stream *stream, bool primary,
                          void (*answer)(struct request *req, int error))
{
    requests->server = server;
    requests->stream = stream;
    requests->primary = primary;
    requests->generation = 0;
    requests->answer = answer;
    remote_queue_init(&requests->waiting);
    remote_queue_init(&requests->held);
    requests->flushing = false;
    for (unsigned i = 0; i < META_CONTEXTS_MAX; i++)
        requests->extents_most_bytes[i] = 0;
    remote_slots_init(&requests->slots);
}

/* Who nobody knows was told of nothing. */
static uint64_t told_of(const struct request *flush)
{
    return flush->flusher != NULL ? atomic_load(&flush->flusher->told) : 0;
}

/* A FLUSH that has to fail, does. */
static bool refuse_flush(struct remote_requests *requests, struct request *req)
{
    if (req->view.op != REQUEST_FLUSH ||
        !remote_ledger_flush_refused(&requests->server->ledger, told_of(req)))
        return false;
    requests->answer(req, EIO);
    return true;
}

static bool answer_flush(struct remote_requests *requests, struct request *req)
{
    if (refuse_flush(requests, req))
        return true;
    if (req->view.op != REQUEST_FLUSH ||
        !remote_ledger_flush_is_void(&requests->server->ledger, req->view.offset_bytes,
                                     req->flusher != NULL && req->flusher->since_start))
        return false;
    requests->answer(req, 0);
    return true;
}

/* One FLUSH is under way at a time.  A server may tell of lost data once, and of two the one that
 * succeeds may be answered first: it would be believed before the other one is known to have
 * failed. */
static bool hold_flush(struct remote_requests *requests, struct request *req)
{
    if (remote_command_op(req) != REQUEST_FLUSH)
        return false;
    if (!requests->flushing) {
        requests->flushing = true;
        return false;
    }
    remote_queue_append(&requests->held, req);
    return true;
}

/* The last one of a client goes first: what it covers makes most of the others void. */
static void flush_ended(struct remote_requests *requests)
{
    struct request *req;

    requests->flushing = false;
    while ((req = remote_queue_take(&requests->held)) != NULL)
        if (!answer_flush(requests, req))
            remote_queue_prepend(&requests->waiting, req);
}

/* A short list is for a short range, whose extents say nothing about others. */
static bool is_paced(const struct request *req)
{
    return req->view.op == REQUEST_EXTENTS && !(req->flags & REQUEST_ONE) &&
           ((const struct extent_list *)(const void *)req->view.data)->capacity >=
               PACED_EXTENTS_MIN;
}

void remote_requests_send(struct remote_requests *requests)
{
    struct request *req;
    uint64_t now_ms = requests->server->timeout_ms > 0 ? channel_clock_ms() : 0;

    while (remote_slots_any_free(&requests->slots) &&
           (req = remote_queue_take(&requests->waiting)) != NULL) {
        if (refuse_flush(requests, req) || hold_flush(requests, req))
            continue;
        struct remote_slot *slot = remote_slots_take(&requests->slots, req, now_ms);
        slot->extents_most_bytes = is_paced(req) ? requests->extents_most_bytes[req->context] : 0;
        int error = remote_command_prepare(slot, &requests->server->features,
                                           &requests->stream->replies.terms);
        if (error == 0) {
            slot->epoch = remote_ledger_epoch(&requests->server->ledger);
            if (remote_command_is_sync(req, &requests->server->features))
                remote_syncs_begin(&requests->server->syncs, &slot->sync);
            remote_stream_add(requests->stream, slot);
            continue;
        }
        if (remote_command_op(req) == REQUEST_FLUSH)
            flush_ended(requests);
        remote_slots_release(&requests->slots, slot);
        requests->answer(req, error);
    }
    remote_stream_flush(requests->stream);
}

bool remote_requests_drop_if_stale(struct remote_requests *requests)
{
    if (requests->primary ||
        remote_ledger_is_current(&requests->server->ledger, requests->generation))
        return false;
    remote_stream_fail(requests->stream, "another connection was lost");
    return true;
}

/* Whether it is as if the command had never been sent. */
static bool is_unanswered(struct remote_requests *requests, int error)
{
    if (error == ESHUTDOWN) {
        remote_stream_fail(requests->stream, "the server is shutting down");
        return true;
    }
    return remote_requests_drop_if_stale(requests);
}

/* A part of a write is done, or all of it: for the account, unless it is durable. */
static void note_epoch(const struct remote_requests *requests, struct request *req, uint32_t epoch)
{
    bool writes = req->view.op == REQUEST_WRITE || req->view.op == REQUEST_ZERO ||
                  remote_command_needs_flush(req, &requests->server->features);

    if (writes && req->epoch == 0 && !(req->flags & REQUEST_FUA && requests->server->features.fua))
        req->epoch = epoch;
}

/* The server could not make something durable, and what else it dropped it may never tell.  One
 * that shuts down has told nothing, and is a loss of the connection soon. */
static void note_failure(struct remote_requests *requests, struct remote_slot *slot)
{
    int error = slot->error;
    bool may_be_lost = remote_command_op(slot->req) == REQUEST_FLUSH || error == EIO ||
                       error == ENOSPC || error == ESHUTDOWN;

    if (!may_be_lost) {
        remote_syncs_dropped(&requests->server->syncs, &slot->sync);
        return;
    }
    if (error != ESHUTDOWN)
        remote_ledger_sync_failed(&requests->server->ledger); /* before others hear of it */
    remote_syncs_failed(&requests->server->syncs, &slot->sync);
}

/* A command that was to make something durable has been answered; false: what that means is open
 * until others have been, too. */
static bool sync_is_over(struct remote_requests *requests, struct remote_slot *slot)
{
    if (slot->error != 0)
        note_failure(requests, slot);
    else if (!remote_syncs_succeeded(&requests->server->syncs, &slot->sync, &requests->waiter)) {
        remote_slots_hold(&requests->slots, slot);
        return false;
    }
    return true;
}

static void look_at_held(struct remote_requests *requests)
{
    struct remote_slot *slot;

    while ((slot = requests->slots.held) != NULL &&
           remote_syncs_are_over(&requests->server->syncs, &slot->sync, &requests->waiter))
        remote_slots_finish_held(&requests->slots);
}

/* All commands of a request are done but, perhaps, the FLUSH that makes it durable.  Where
 * something was lost between a write and its FLUSH, it may have been this write: it is done
 * again. */
static void finish(struct remote_requests *requests, struct request *req, uint32_t epoch)
{
    bool flushed = req->backend_step == REMOTE_THEN_FLUSH;
    int error = 0;

    if (!flushed && remote_command_needs_flush(req, &requests->server->features)) {
        req->backend_step = REMOTE_THEN_FLUSH;
        remote_queue_append(&requests->waiting, req);
        return;
    }
    if (flushed && req->epoch != 0 && req->epoch != epoch) {
        remote_command_restart(req);
        remote_queue_append(&requests->waiting, req);
        return;
    }
    if (flushed)
        req->epoch = 0; /* it is durable */
    else if (req->view.op == REQUEST_FLUSH)
        error = remote_ledger_flush_done(&requests->server->ledger, req->view.offset_bytes,
                                         told_of(req));
    requests->answer(req, error);
}

/* What finds no room in the list was sent in vain, so of a range with so many extents less is asked
 * for at once, and more again when they become fewer. */
static void pace_extents(struct remote_requests *requests, const struct remote_slot *slot)
{
    struct extent_list *list = (struct extent_list *)(void *)slot->req->view.data;
    uint64_t *most_bytes = &requests->extents_most_bytes[slot->req->context];
    uint64_t asked_bytes = remote_command_extents_bytes(slot), told_bytes = 0;
    bool paced = asked_bytes == slot->extents_most_bytes;

    for (uint32_t i = 0; i < list->count; i++)
        told_bytes += list->extents[i].length_bytes;
    if (list->more)
        *most_bytes = told_bytes;
    else if (paced)
        *most_bytes = asked_bytes <= INT64_MAX / 2 ? 2 * asked_bytes : 0;
    list->more |= paced && told_bytes == asked_bytes && asked_bytes < slot->req->view.length_bytes;
}

static void tell_why(const struct remote_requests *requests, const struct remote_slot *slot)
{
    const struct meta_contexts *contexts = &requests->server->address.contexts;

    log_write_of(LOG_WARNING, requests->server->name,
                 "BLOCK_STATUS of the metadata context '%s' fails: %s",
                 contexts->names[slot->req->context - 1], slot->why);
}

/* A command has ended; so may its request have.  Whether the server has answered. */
static bool settle(struct remote_requests *requests, const struct remote_slot *ended)
{
    struct request *req = ended->req;
    enum request_op op = remote_command_op(req);
    uint32_t epoch = remote_ledger_epoch(&requests->server->ledger); /* before is_unanswered() */
    int error = ended->error;

    if (is_unanswered(requests, error)) {
        remote_queue_append(&requests->waiting, req);
        return false;
    }
    if (ended->sync.in_doubt && op != REQUEST_FLUSH) {
        remote_command_restart(req);
        remote_queue_append(&requests->waiting, req);
        return true;
    }
    if (ended->sync.in_doubt)
        error = EIO;
    if (error != 0) {
        if (op == REQUEST_FLUSH)
            flush_ended(requests);
        if (op == REQUEST_EXTENTS && ended->why != NULL)
            tell_why(requests, ended);
        if (op == REQUEST_READ && req->error_at_bytes < req->progress_bytes)
            req->error_at_bytes = req->progress_bytes;
        requests->answer(req, error);
        return true;
    }
    note_epoch(requests, req, ended->epoch);
    if (is_paced(req))
        pace_extents(requests, ended);
    if (op == REQUEST_READ || op == REQUEST_WRITE) {
        req->progress_bytes += ended->piece_bytes;
        if (req->progress_bytes < req->view.length_bytes) {
            remote_queue_prepend(&requests->waiting, req);
            return true;
        }
    }
    finish(requests, req, epoch);
    if (op == REQUEST_FLUSH)
        flush_ended(requests);
    return true;
}

bool remote_requests_reap(struct remote_requests *requests)
{
    struct remote_slot *slot;
    bool answered = false;

    if (requests->slots.held != NULL)
        look_at_held(requests);
    while ((slot = remote_slots_next_finished(&requests->slots)) != NULL) {
        if (slot->sync.state == REMOTE_SYNC_UNDER_WAY && !sync_is_over(requests, slot))
            continue;
        if (settle(requests, slot))
            answered = true;
        remote_slots_release(&requests->slots, slot);
    }
    return answered;
}

/* The primary is gone: FLUSHes that need not wait for it are answered, and what was to be made
 * durable by one begins anew. */
static void review_waiting(struct remote_requests *requests)
{
    struct remote_queue all = remote_queue_take_all(&requests->waiting);
    struct request *req;

    while ((req = remote_queue_take(&all)) != NULL) {
        if (answer_flush(requests, req))
            continue;
        if (remote_command_needs_flush(req, &requests->server->features))
            remote_command_restart(req);
        remote_queue_append(&requests->waiting, req);
    }
}

/* Connections have been lost with it for as long as a server may be away: another one will hardly
 * bring the answer, and whoever else is served by the server is disturbed by each. */
static bool is_hopeless(const struct remote_requests *requests, struct request *req)
{
    uint32_t now_ms = (uint32_t)channel_clock_ms();

    if (req->backend_ms == 0)
        req->backend_ms = now_ms != 0 ? now_ms : 1;
    else if (now_ms - req->backend_ms >= requests->server->retry_ms)
        return true;
    return false;
}

static void fail_hopeless(struct remote_requests *requests, struct remote_queue *hopeless)
{
    struct request *req;

    if (hopeless->first != NULL)
        log_write_of(LOG_ERROR, requests->server->name,
                     "a request fails: connections were lost before its answer for %u seconds",
                     requests->server->retry_ms / 1000);
    while ((req = remote_queue_take(hopeless)) != NULL)
        requests->answer(req, EIO);
}

void remote_requests_lost(struct remote_requests *requests)
{
    struct remote_queue hopeless;

    remote_queue_init(&hopeless);
    remote_slots_forget_finished(&requests->slots);
    for (unsigned i = 0; i < REMOTE_SLOTS; i++) {
        struct remote_slot *slot = &requests->slots.all[i];
        struct request *req = slot->req;

        if (req == NULL)
            continue;
        if (slot->sync.state == REMOTE_SYNC_UNDER_WAY)
            remote_syncs_failed(&requests->server->syncs, &slot->sync);
        remote_slots_release(&requests->slots, slot);
        if (is_hopeless(requests, req))
            remote_queue_append(&hopeless, req);
        else
            remote_queue_prepend(&requests->waiting, req);
    }
    flush_ended(requests);
    if (requests->primary) {
        remote_ledger_primary_lost(&requests->server->ledger);
        review_waiting(requests);
    } else {
        remote_ledger_connection_lost(&requests->server->ledger, requests->generation);
    }
    fail_hopeless(requests, &hopeless);
}

bool remote_requests_take(struct remote_requests *requests, struct request *req)
{
    remote_command_restart(req);
    req->backend_ms = 0; /* since when connections are lost with it; 0: none was */
    if (!remote_stream_is_open(requests->stream) && answer_flush(requests, req))
        return false;
    remote_queue_append(&requests->waiting, req);
    return true;
}

bool remote_requests_are_waiting(const struct remote_requests *requests)
{
    return requests->waiting.first != NULL;
}

bool remote_requests_are_none(const struct remote_requests *requests)
{
    return requests->waiting.first == NULL && requests->slots.in_flight == 0;
}

bool remote_requests_can_send(const struct remote_requests *requests)
{
    return remote_slots_any_free(&requests->slots) && requests->waiting.first != NULL &&
           !requests->stream->failed;
}

struct remote_queue remote_requests_give_back(struct remote_requests *requests)
{
    return remote_queue_take_all(&requests->waiting);
}
