#include "plugins/remote/remote-link.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/remote/remote-dial-thread.h"
#include "plugins/remote/remote-outage.h"
#include "plugins/remote/remote-requests.h"
#include "server/base/event.h"
#include "server/base/log-ids.h"
#include "server/base/log.h"
#include "server/base/probe.h"
#include "server/base/tally.h"
#include "server/client/transport-tls-adopt.h"
#include "server/transport/tls-buffer.h"

#define TICK_MS 100u
#define TICK_MAX_MS 1000u
#define FAREWELL_MS 300u
#define DIAL_MS 10000u        /* for connecting and the handshake */
#define DIAL_FURTHER_MS 3000u /* for a connection besides the primary: it can be done without */

/* All of it on the thread of the loop. */
struct remote_link {
    struct remote_server *server;
    struct loop *loop, *starter;
    void (*give_over)(struct request *req);

    /* The connection. */
    struct remote_stream stream;
    struct tls_buffers tls_buffers;
    struct error reason;       /* why the stream has failed; "": the server closed it */
    bool was_connected;        /* once at least */
    uint32_t contexts_missing; /* that the server listed, and does not have for the connection */
    bool abandoned;            /* the server does not accept it: give_over() gets all */

    struct remote_requests requests;
    struct remote_outage outage;

    struct remote_dial_thread *attempt; /* to connect; NULL: none is made */
    struct error dial_error;

    /* On the loop. */
    struct loop_task work;
    struct loop_timer tick, farewell;
    bool tick_armed, farewell_armed;
    bool stopping;
    struct io_event *left; /* for whoever waits until it is quiet; NULL: remote_link_destroy() */
};

static void dial_done(struct io_event *ev, int result);

static bool is_primary(const struct remote_link *link)
{
    return link->give_over == NULL;
}

static bool is_connected(const struct remote_link *link)
{
    return remote_stream_is_open(&link->stream);
}

static bool is_out_of_patience(const struct remote_link *link)
{
    return remote_outage_is_too_long(&link->outage, link->server->retry_ms, channel_clock_ms());
}

/* Of a link that is stopping: then nobody sends it a message any more (begin_to_leave()). */
static bool is_quiet(const struct remote_link *link)
{
    return link->attempt == NULL && remote_stream_is_idle(&link->stream) && !link->tick_armed &&
           !link->farewell_armed && !link->work.queued && !link->requests.waiter.posted;
}

/* The end has been asked for, and nothing of the link is in flight: it may be gone after this. */
static void tell_if_quiet(struct remote_link *link)
{
    struct io_event *left = link->left;

    if (!link->stopping || !is_quiet(link))
        return;
    link->left = NULL;
    if (left != NULL)
        left->fn(left, 0);
    else
        loop_stop(link->loop);
}

/* Nobody is waited for any more. */
static void end_farewell_if_over(struct remote_link *link)
{
    if (link->farewell_armed && link->attempt == NULL && remote_stream_is_idle(&link->stream))
        loop_cancel(link->loop, &link->farewell.event);
}

/* ---- without a connection ---- */

/* Requests fail, now and until the server is back. */
static void give_up(struct remote_link *link)
{
    struct remote_queue all = remote_requests_give_back(&link->requests);
    struct request *req;

    if (remote_outage_give_up(&link->outage) && !atomic_load(&link->server->away))
        log_write_of(LOG_ERROR, link->server->name, "requests fail until the server is back");
    if (is_primary(link))
        atomic_store(&link->server->away, true);
    while ((req = remote_queue_take(&all)) != NULL)
        link->requests.answer(req, EIO);
}

/* The connection is gone or not wanted any more: what it has not answered waits.  To be called
 * again when nothing of it is in flight any more, if it is not then. */
static void lose(struct remote_link *link)
{
    if (!link->stream.aborted) {
        log_write_about(LOG_WARNING,
                        LOG_ABOUT(.id = LOG_ID_BACKEND_DOWN, .who = link->server->name),
                        "the connection was lost (%s)",
                        link->reason.text[0] != '\0' ? link->reason.text : "the server closed it");
        tally_add(TALLY_BACKENDS_LOST);
        PROBE(remote_lost, link->server->name, (const char *)link->reason.text);
        if (is_primary(link))
            atomic_store(&link->server->lost, true);
        EVENT(.type = "backend.down", .peer = link->server->name, .reason = link->reason.text);
        remote_stream_abort(&link->stream);
    }
    if (!remote_stream_is_idle(&link->stream))
        return; /* the kernel may still read or write what the requests lend it */
    remote_stream_close(&link->stream);
    remote_requests_lost(&link->requests);
    remote_outage_begin(&link->outage, channel_clock_ms());
    remote_outage_plan_dial(&link->outage, channel_clock_ms());
    if (is_out_of_patience(link))
        give_up(link);
}

/* ---- connecting ---- */

/* The server takes one connection only, whatever it said: the primary does without this one. */
static void abandon(struct remote_link *link)
{
    struct remote_queue all = remote_requests_give_back(&link->requests);
    struct request *req;

    log_write_of(LOG_WARNING, link->server->name,
                 "a further connection was not accepted, one is shared instead: %s",
                 link->dial_error.text);
    link->abandoned = true;
    while ((req = remote_queue_take(&all)) != NULL)
        link->give_over(req);
}

static void dial_failed(struct remote_link *link, int result)
{
    if (!link->was_connected) {
        abandon(link);
        return;
    }
    remote_outage_begin(&link->outage, channel_clock_ms());
    if (remote_outage_tell_failure(&link->outage))
        log_write_of(LOG_WARNING, link->server->name, "%s; trying again", link->dial_error.text);
    remote_outage_plan_dial(&link->outage, channel_clock_ms());
    if (result == -EMEDIUMTYPE && !link->outage.down)
        log_write_of(LOG_ERROR, link->server->name, "%s", link->dial_error.text);
    if (result == -EMEDIUMTYPE || is_out_of_patience(link))
        give_up(link);
}

static bool may_dial(const struct remote_link *link)
{
    return !is_connected(link) && link->attempt == NULL && !link->abandoned &&
           (link->was_connected || remote_requests_are_waiting(&link->requests)) &&
           (is_primary(link) || remote_ledger_has_primary(&link->server->ledger));
}

static void dial(struct remote_link *link)
{
    link->requests.generation = remote_ledger_generation(&link->server->ledger);
    const struct remote_dial_thread_settings settings = {
        .address = &link->server->address,
        .deadline_ms = is_primary(link) ? DIAL_MS : DIAL_FURTHER_MS,
        .loop = link->loop,
        .starter = link->starter,
        .done = dial_done,
        .context = link,
    };
    int result = remote_dial_thread_start(&link->attempt, &settings, &link->dial_error);
    if (result < 0)
        dial_failed(link, result);
}

/* Once for each that is gone. */
static void look_for_contexts(struct remote_link *link, const struct remote_terms *terms)
{
    const struct meta_contexts *contexts = &link->server->address.contexts;
    uint32_t present = terms->contexts.present | META_CONTEXT_BIT(0);
    uint32_t missing = meta_contexts_mask(contexts) & ~present;
    const char *why = terms->contexts_refusal;

    for (unsigned i = 0; i < contexts->count; i++)
        if (missing & ~link->contexts_missing & META_CONTEXT_BIT(i + 1))
            log_write_of(LOG_WARNING, link->server->name,
                         "the server does not have the metadata context '%s' any more%s%s%s: "
                         "BLOCK_STATUS of it fails until a connection finds it again",
                         contexts->names[i], why != NULL ? " (" : "", why != NULL ? why : "",
                         why != NULL ? ")" : "");
    link->contexts_missing = missing;
}

/* Begins to use a connection, which is taken over.  -ENOMEM: it stays the caller's. */
static int use(struct remote_link *link, struct remote_connection *connection, struct error *err)
{
    struct transport *transport;
    struct remote_connection used = *connection;
    const struct transport_tls_adopt_settings settings = { .loop = link->loop,
                                                           .buffers = &link->tls_buffers,
                                                           .name = link->server->name };
    int result = used.tls != NULL
                     ? transport_tls_adopt(&transport, used.tls, used.fd, &settings, err)
                     : transport_plain_create(&transport, link->loop, used.fd, err);

    if (result < 0)
        return result;
    *connection = (struct remote_connection){ .fd = -1 };
    link->was_connected = true;
    look_for_contexts(link, &used.terms);
    remote_stream_start(&link->stream, transport, &used);
    return 0;
}

static void dial_succeeded(struct remote_link *link, bool again)
{
    if (again) {
        log_write_about(LOG_WARNING, LOG_ABOUT(.id = LOG_ID_BACKEND_UP, .who = link->server->name),
                        "connected again");
        tally_add(TALLY_BACKENDS_BACK);
        PROBE(remote_reconnect, link->server->name);
        EVENT(.type = "backend.up", .peer = link->server->name);
    }
    remote_outage_connected(&link->outage, remote_requests_are_waiting(&link->requests));
    if (is_primary(link)) {
        atomic_store(&link->server->away, false);
        atomic_store(&link->server->lost, false);
        remote_ledger_primary_connected(&link->server->ledger);
    }
}

static void dial_done(struct io_event *ev, int result)
{
    struct remote_dial_thread *attempt = container_of(ev, struct remote_dial_thread, done.event);
    struct remote_link *link = attempt->context;

    link->attempt = NULL;
    if (!link->stopping) {
        bool again = link->was_connected;

        if (result == 0)
            result =
                remote_features_check(&link->server->features, &attempt->features, &attempt->error);
        if (result == 0)
            result = use(link, &attempt->connection, &attempt->error);
        link->dial_error = attempt->error;
        if (result < 0)
            dial_failed(link, result);
        else
            dial_succeeded(link, again);
        loop_defer(link->loop, &link->work);
    }
    remote_dial_thread_free(attempt);
    end_farewell_if_over(link);
    tell_if_quiet(link);
}

/* ---- the clock ---- */

static unsigned tick_ms(const struct remote_link *link)
{
    unsigned quarter_ms = link->server->timeout_ms / 4;

    if (!is_connected(link))
        return link->was_connected || remote_requests_are_waiting(&link->requests) ? TICK_MS : 0;
    if (quarter_ms == 0 || link->requests.slots.in_flight == 0)
        return 0;
    return quarter_ms < TICK_MS ? TICK_MS : quarter_ms < TICK_MAX_MS ? quarter_ms : TICK_MAX_MS;
}

/* What is to be done next, and when. */
static void arm(struct remote_link *link)
{
    if (!is_connected(link)) {
        if (may_dial(link) && remote_outage_dial_is_due(&link->outage, channel_clock_ms()))
            dial(link);
        else if (remote_requests_are_waiting(&link->requests) && link->attempt == NULL)
            /* Even if it was never connected: the primary is away. */
            remote_outage_begin(&link->outage, channel_clock_ms());
    }
    if (!link->tick_armed && tick_ms(link) > 0) {
        link->tick_armed = true;
        loop_timer_start(link->loop, &link->tick, tick_ms(link));
    }
}

/* All of a batch, in one place: what was submitted is sent, and what was answered is passed on. */
static void work(struct loop_task *task)
{
    struct remote_link *link = container_of(task, struct remote_link, work);

    if (link->stopping) {
        tell_if_quiet(link);
        return;
    }
    if (is_connected(link)) {
        if (!link->stream.failed && !remote_requests_drop_if_stale(&link->requests))
            remote_requests_send(&link->requests);
        if (remote_requests_reap(&link->requests))
            remote_outage_answered(&link->outage);
        if (remote_requests_can_send(&link->requests))
            loop_defer(link->loop, &link->work);
        if (link->stream.failed)
            lose(link);
    } else if (link->outage.down || (!is_primary(link) && atomic_load(&link->server->away))) {
        give_up(link);
    }
    arm(link);
}

static void tick(struct io_event *ev, int result)
{
    struct remote_link *link = container_of(ev, struct remote_link, tick.event);

    (void)result;
    link->tick_armed = false;
    if (link->stopping) {
        tell_if_quiet(link);
        return;
    }
    if (is_connected(link) && link->server->timeout_ms > 0 &&
        remote_slots_any_overdue(&link->requests.slots, link->server->timeout_ms,
                                 channel_clock_ms()))
        remote_stream_fail(&link->stream, "a request was not answered in time");
    if (!is_connected(link) && !link->outage.down && is_out_of_patience(link))
        give_up(link);
    loop_defer(link->loop, &link->work);
}

/* What some of our own wait for has ended, on another connection. */
static void others_have_ended(struct io_event *ev, int result)
{
    struct remote_link *link = container_of(ev, struct remote_link, requests.waiter.message.event);

    (void)result;
    remote_syncs_heard(&link->server->syncs, &link->requests.waiter);
    if (link->stopping)
        tell_if_quiet(link);
    else
        loop_defer(link->loop, &link->work);
}

/* ---- what the stream tells ---- */

static struct remote_link *link_of(struct remote_stream *stream)
{
    return container_of(stream, struct remote_link, stream);
}

static void stream_finished(struct remote_stream *stream, struct remote_slot *slot)
{
    struct remote_link *link = link_of(stream);

    remote_slots_finish(&link->requests.slots, slot);
    loop_defer(link->loop, &link->work);
}

static void stream_complaint(struct remote_stream *stream, const struct remote_slot *slot,
                             const char *text)
{
    if (slot->error != ESHUTDOWN) /* which is no answer: see remote-requests.c */
        log_write_of(LOG_WARNING, link_of(stream)->server->name,
                     "the server answers a request with %s: %s", strerror(slot->error), text);
}

static void stream_failed(struct remote_stream *stream, const char *reason)
{
    struct remote_link *link = link_of(stream);

    error_set(&link->reason, 0, "%s", reason);
    loop_defer(link->loop, &link->work);
}

static void stream_idle(struct remote_stream *stream)
{
    struct remote_link *link = link_of(stream);

    end_farewell_if_over(link);
    loop_defer(link->loop, &link->work);
}

static const struct remote_stream_owner stream_owner = {
    .finished = stream_finished,
    .complaint = stream_complaint,
    .failed = stream_failed,
    .idle = stream_idle,
};

/* ---- life ---- */

/* In time the server has taken our last word, or is left without; and a name that is still being
 * looked up is looked up for nobody. */
static void farewell_ended(struct io_event *ev, int result)
{
    struct remote_link *link = container_of(ev, struct remote_link, farewell.event);

    (void)result;
    link->farewell_armed = false;
    if (is_connected(link))
        remote_stream_abort(&link->stream);
    if (link->attempt != NULL && !remote_dial_thread_leave(link->attempt))
        link->attempt = NULL;
    tell_if_quiet(link);
}

int remote_link_create(struct remote_link **out, const struct remote_link_settings *settings,
                       struct error *err)
{
    struct remote_link *link = calloc(1, sizeof *link);

    if (link == NULL)
        return error_no_memory(err, "for a connection");
    link->server = settings->server;
    link->loop = settings->loop;
    link->starter = settings->starter;
    link->give_over = settings->give_over;
    remote_stream_init(&link->stream, &stream_owner, link->requests.slots.all, REMOTE_SLOTS);
    remote_requests_init(&link->requests, link->server, &link->stream, is_primary(link),
                         settings->answer);
    link->requests.waiter.loop = link->loop;
    link->requests.waiter.message.event.fn = others_have_ended;
    link->work.fn = work;
    link->tick.event.fn = tick;
    link->farewell.event.fn = farewell_ended;
    int result = settings->connection != NULL ? use(link, settings->connection, err) : 0;
    if (result < 0) {
        free(link);
        return result;
    }
    *out = link;
    return 0;
}

/* Asks all that is in flight to end, which it does within the time of a farewell. */
static void begin_to_leave(struct remote_link *link)
{
    assert(remote_requests_are_none(&link->requests));
    link->stopping = true;
    remote_syncs_forget(&link->server->syncs, &link->requests.waiter);
    if (link->tick_armed)
        loop_cancel(link->loop, &link->tick.event);
    if (link->attempt != NULL)
        remote_dial_thread_hurry(link->attempt);
    if (is_connected(link))
        remote_stream_leave(&link->stream);
    if (link->attempt == NULL && remote_stream_is_idle(&link->stream))
        return;
    link->farewell_armed = true;
    loop_timer_start(link->loop, &link->farewell, FAREWELL_MS);
}

void remote_link_leave(struct remote_link *link, struct io_event *left)
{
    begin_to_leave(link);
    link->left = left;
    tell_if_quiet(link);
}

void remote_link_destroy(struct remote_link *link)
{
    if (link == NULL)
        return;
    if (!link->stopping)
        begin_to_leave(link);
    link->left = NULL;
    while (!is_quiet(link))
        loop_run(link->loop);
    if (is_connected(link))
        remote_stream_close(&link->stream);
    tls_buffers_free(&link->tls_buffers);
    free(link);
}

void remote_link_submit(struct remote_link *link, struct request *req)
{
    if (link->abandoned)
        link->give_over(req);
    else if (remote_requests_take(&link->requests, req))
        loop_defer(link->loop, &link->work);
}
