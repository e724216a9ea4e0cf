#include "server/connection/memory-pressure.h"

#include <limits.h>

#include "server/base/log.h"
#include "server/connection/connection.h"
#include "server/connection/transmission.h"

#define TICK_MS 250u
#define STALLED_TICKS 4u  /* without a reply taken: may be dropped */
#define REFUSED_TICKS 40u /* without memory: those who wait get ENOMEM */

static void start_timer(struct worker *worker)
{
    loop_timer_start(worker->loop, &worker->pressure.timer, TICK_MS);
}

/* Says whether it took no reply, or sent nothing of what it writes, for so long, while it holds
 * what others wait for. */
static bool is_stalled(struct transmission *t)
{
    bool takes_nothing = t->sending && t->sends == t->sends_seen;
    bool sends_nothing = t->receiving != NULL && t->recv_pending && t->receives == t->receives_seen;

    t->stalled_ticks = takes_nothing || sends_nothing ? t->stalled_ticks + 1 : 0;
    t->sends_seen = t->sends;
    t->receives_seen = t->receives;
    return t->stalled_ticks >= STALLED_TICKS && t->held_bytes > 0;
}

/* How many. */
static unsigned drop_stalled(struct worker *worker)
{
    unsigned dropped = 0;

    for (struct connection *connection = worker->connections; connection != NULL;
         connection = connection->next) {
        struct transmission *t = connection->transmission;

        if (t == NULL || t->aborted || !is_stalled(t))
            continue;
        log_write_of(LOG_WARNING, connection->talk.peer.text,
                     "stalled while others waited for memory; dropped");
        transmission_abort(t); /* it ends in an event of its own */
        dropped++;
    }
    return dropped;
}

static void tell(struct worker *worker)
{
    if (!worker->pressure.told)
        log_write_of(
            LOG_WARNING, "memory",
            "there is none for data buffers; clients wait (see --memory-max, the limits of the "
            "cgroup and of the process)");
    worker->pressure.told = true;
}

static void relieve(struct worker *worker)
{
    if (buffer_pool_is_starved(worker->buffers)) {
        worker->pressure.starved_ticks++;
        tell(worker);
        if (drop_stalled(worker) > 0)
            worker->pressure.starved_ticks = 0; /* some comes back */
    } else {
        worker->pressure.starved_ticks = 0;
    }
    transmission_unpark(worker, UINT_MAX); /* whatever they wait for */
    if (worker->pressure.starved_ticks >= REFUSED_TICKS && buffer_pool_is_starved(worker->buffers))
        transmission_refuse_parked(worker);
}

static void tick(struct io_event *ev, int result)
{
    struct worker *worker = container_of(ev, struct worker, pressure.timer.event);

    (void)result;
    if (worker->pressure.ending) {
        loop_stop(worker->loop);
        return;
    }
    if (worker->parked != NULL)
        relieve(worker);
    if (worker->parked != NULL) {
        start_timer(worker);
        return;
    }
    if (worker->pressure.told && !buffer_pool_is_starved(worker->buffers))
        log_write_of(LOG_NOTICE, "memory", "there is enough for data buffers again");
    worker->pressure = (struct memory_pressure){ 0 };
}

void memory_pressure_watch(struct worker *worker)
{
    if (worker->pressure.running)
        return;
    worker->pressure.running = true;
    worker->pressure.timer.event.fn = tick;
    start_timer(worker);
}

void memory_pressure_stop(struct worker *worker)
{
    if (!worker->pressure.running)
        return;
    worker->pressure.ending = true;
    loop_cancel(worker->loop, &worker->pressure.timer.event);
    loop_run(worker->loop);
}
