#include "server/connection/stall-watch.h"

#include "server/base/log.h"
#include "server/connection/connection.h"
#include "server/connection/transmission.h"

#define TICKS 8u               /* in the timeout */
#define TAKEN_BYTES_MIN 16384u /* in that time, or it takes nothing */

static void start_timer(struct worker *worker)
{
    unsigned tick_ms = worker->stall.timeout_ms / TICKS;

    loop_timer_start(worker->loop, &worker->stall.timer, tick_ms > 0 ? tick_ms : 1);
}

/* A send ends only when a good part of a large buffer is free again, so one that goes on is asked
 * for. */
static bool takes_nothing(struct transmission *t, struct stall_state *state)
{
    if (!t->sending || t->sends != state->sends)
        return false;
    uint32_t unsent_bytes = t->transport->ops->unsent_bytes(t->transport);
    if (state->sending_ticks > 0 && unsent_bytes + TAKEN_BYTES_MIN > state->unsent_bytes)
        return true;
    state->unsent_bytes = unsent_bytes;
    return state->sending_ticks == 0;
}

static unsigned count(unsigned ticks, bool stalls)
{
    return stalls ? ticks + 1 : 0;
}

static void look(struct connection *connection)
{
    struct stall_state *state = &connection->stall;
    struct transmission *t = connection->transmission;

    state->sending_ticks = count(state->sending_ticks, takes_nothing(t, state));
    state->receiving_ticks = count(state->receiving_ticks, transmission_is_within_request(t) &&
                                                               t->receives == state->receives);
    state->sends = t->sends;
    state->receives = t->receives;
    if (state->sending_ticks <= TICKS && state->receiving_ticks <= TICKS)
        return;
    log_write_of(
        LOG_NOTICE, connection->talk.peer.text, "%s for %u seconds (--stall-timeout); dropped",
        state->sending_ticks > TICKS ? "took no replies" : "stopped in the middle of a request",
        (connection->talk.worker->stall.timeout_ms + 999) / 1000);
    transmission_abort(t); /* it ends in an event of its own */
}

static void tick(struct io_event *ev, int result)
{
    struct worker *worker = container_of(ev, struct worker, stall.timer.event);

    (void)result;
    worker->stall.running = false;
    if (worker->stall.ending) {
        loop_stop(worker->loop);
        return;
    }
    for (struct connection *connection = worker->connections; connection != NULL;
         connection = connection->next) {
        /* Those that are told to go have a shorter time. */
        if (connection->state == CONNECTION_TRANSMISSION && !connection->transmission->aborted)
            look(connection);
    }
    if (worker->connections != NULL)
        stall_watch_begin(worker);
}

void stall_watch_begin(struct worker *worker)
{
    if (worker->stall.timeout_ms == 0 || worker->stall.running)
        return;
    worker->stall.running = true;
    worker->stall.timer.event.fn = tick;
    start_timer(worker);
}

void stall_watch_stop(struct worker *worker)
{
    if (!worker->stall.running)
        return;
    worker->stall.ending = true;
    loop_cancel(worker->loop, &worker->stall.timer.event);
    loop_run(worker->loop);
}
