#include "plugins/remote/remote-link-internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/log.h"
#include "server/client/transport-tls-adopt.h"

#define TICK_MS 100u
#define TICK_MAX_MS 1000u
#define FAREWELL_MS 300u

static void arm(struct remote_link *link);
static void farewell_ended(struct io_event *ev, int result);

bool remote_link_is_primary(const struct remote_link *link)
{
    return link->give_over == NULL;
}

bool remote_link_is_connected(const struct remote_link *link)
{
    return link->stream.transport != NULL;
}

void remote_link_distrusts(struct remote_link *link, const char *reason)
{
    remote_stream_fail(&link->stream, reason);
}

/* All of a batch, in one place: what was submitted is sent, and what was answered is passed on. */
static void work(struct loop_task *task)
{
    struct remote_link *link = container_of(task, struct remote_link, work);

    if (link->stopping) {
        remote_link_stop_loop_if_idle(link);
        return;
    }
    if (remote_link_is_connected(link)) {
        if (!link->stream.failed && !remote_link_drop_if_stale(link))
            remote_link_send_waiting(link);
        remote_link_reap(link);
        if (link->stream.failed)
            remote_link_lose(link);
    } else if (link->down || (!remote_link_is_primary(link) && atomic_load(&link->server->away))) {
        remote_link_give_up(link);
    }
    arm(link);
}

static bool is_quiet(const struct remote_link *link)
{
    return link->attempt == NULL && remote_stream_is_idle(&link->stream) && !link->tick_armed &&
           !link->farewell_armed && !link->work.queued;
}

void remote_link_stop_loop_if_idle(struct remote_link *link)
{
    if (link->stopping && is_quiet(link))
        loop_stop(link->loop);
}

/* ---- what the stream tells ---- */

static struct remote_link *link_of(struct remote_stream *stream)
{
    return container_of(stream, struct remote_link, stream);
}

static void stream_finished(struct remote_stream *stream, struct remote_slot *slot)
{
    struct remote_link *link = link_of(stream);

    remote_link_finished(link, slot);
    loop_defer(link->loop, &link->work);
}

static void stream_complaint(struct remote_stream *stream, const struct remote_slot *slot,
                             const char *text)
{
    if (slot->error != ESHUTDOWN) /* which is no answer: see is_unanswered() */
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

    if (link->farewell_armed)
        loop_cancel(link->loop, &link->farewell.event);
    loop_defer(link->loop, &link->work);
}

static const struct remote_stream_owner stream_owner = {
    .finished = stream_finished,
    .complaint = stream_complaint,
    .failed = stream_failed,
    .idle = stream_idle,
};

/* ---- the clock ---- */

static void check_timeout(struct remote_link *link)
{
    uint64_t now_ms = channel_clock_ms();

    for (unsigned i = 0; i < REMOTE_SLOTS; i++) {
        const struct remote_slot *slot = &link->slots[i];

        if (slot->req != NULL && now_ms - slot->sent_ms >= link->server->timeout_ms) {
            remote_link_distrusts(link, "a request was not answered in time");
            return;
        }
    }
}

static void tick(struct io_event *ev, int result)
{
    struct remote_link *link = container_of(ev, struct remote_link, tick.event);

    (void)result;
    link->tick_armed = false;
    remote_link_stop_loop_if_idle(link);
    if (remote_link_is_connected(link) && link->server->timeout_ms > 0)
        check_timeout(link);
    if (!remote_link_is_connected(link) && !link->down && remote_link_out_of_patience(link))
        remote_link_give_up(link);
    loop_defer(link->loop, &link->work);
}

static unsigned tick_ms(const struct remote_link *link)
{
    unsigned quarter_ms = link->server->timeout_ms / 4;

    if (!remote_link_is_connected(link))
        return link->was_connected || link->waiting.first != NULL ? TICK_MS : 0;
    if (quarter_ms == 0 || link->in_flight == 0)
        return 0;
    return quarter_ms < TICK_MS ? TICK_MS : quarter_ms < TICK_MAX_MS ? quarter_ms : TICK_MAX_MS;
}

/* What is to be done next, and when. */
static void arm(struct remote_link *link)
{
    if (!remote_link_is_connected(link)) {
        if (remote_link_may_dial(link) && channel_clock_ms() >= link->dial_at_ms)
            remote_link_dial(link);
        else if (link->waiting.first != NULL && link->attempt == NULL)
            remote_link_trouble_begins(
                link); /* even if it was never connected: the primary is away */
    }
    if (!link->tick_armed && tick_ms(link) > 0) {
        link->tick_armed = true;
        loop_timer_start(link->loop, &link->tick, tick_ms(link));
    }
}

/* ---- life ---- */

int remote_link_use(struct remote_link *link, struct remote_connection *connection,
                    struct error *err)
{
    struct transport *transport;
    struct remote_connection used = *connection;
    const struct transport_tls_adopt_settings settings = { .loop = link->loop,
                                                           .buffers = &link->tls_buffers,
                                                           .name = link->server->name };
    int code = used.tls != NULL ? transport_tls_adopt(&transport, used.tls, used.fd, &settings, err)
                                : transport_plain_create(&transport, link->loop, used.fd, err);

    if (code < 0)
        return code;
    *connection = (struct remote_connection){ .fd = -1 };
    link->was_connected = true;
    remote_stream_start(&link->stream, transport, &used);
    return 0;
}

int remote_link_create(struct remote_link **out, const struct remote_link_settings *settings,
                       struct error *err)
{
    struct remote_link *link = calloc(1, sizeof *link);

    if (link == NULL)
        return error_set(err, -ENOMEM, "not enough memory for a connection");
    link->server = settings->server;
    link->loop = settings->loop;
    link->answer = settings->answer;
    link->give_over = settings->give_over;
    remote_stream_init(&link->stream, &stream_owner, link->slots, REMOTE_SLOTS);
    remote_queue_init(&link->waiting);
    remote_queue_init(&link->held);
    link->finished_end = &link->finished;
    for (unsigned i = 0; i < REMOTE_SLOTS; i++) {
        link->slots[i] = (struct remote_slot){ .next = link->free };
        link->free = &link->slots[i];
    }
    link->work.fn = work;
    link->tick.event.fn = tick;
    link->farewell.event.fn = farewell_ended;
    int code = settings->connection != NULL ? remote_link_use(link, settings->connection, err) : 0;
    if (code < 0) {
        free(link);
        return code;
    }
    *out = link;
    return 0;
}

/* In time the server has taken our last word, or is left without. */
static void farewell_ended(struct io_event *ev, int result)
{
    struct remote_link *link = container_of(ev, struct remote_link, farewell.event);

    (void)result;
    link->farewell_armed = false;
    if (remote_link_is_connected(link))
        remote_stream_abort(&link->stream);
    remote_link_stop_loop_if_idle(link);
}

static void leave(struct remote_link *link)
{
    remote_stream_leave(&link->stream);
    if (remote_stream_is_idle(&link->stream))
        return;
    link->farewell_armed = true;
    loop_timer_start(link->loop, &link->farewell, FAREWELL_MS);
}

void remote_link_destroy(struct remote_link *link)
{
    if (link == NULL)
        return;
    assert(link->waiting.first == NULL && link->in_flight == 0);
    link->stopping = true;
    if (link->tick_armed)
        loop_cancel(link->loop, &link->tick.event);
    if (link->attempt != NULL && !remote_attempt_leave(link->attempt))
        link->attempt = NULL;
    if (remote_link_is_connected(link))
        leave(link);
    while (!is_quiet(link))
        loop_run(link->loop);
    if (remote_link_is_connected(link))
        remote_stream_close(&link->stream);
    tls_buffers_free(&link->tls_buffers);
    free(link);
}
