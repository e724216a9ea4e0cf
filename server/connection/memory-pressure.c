#include "server/connection/memory-pressure.h"

#include <limits.h>

#include "server/base/log.h"
#include "server/connection/connection.h"
#include "server/connection/transmission.h"
#include "server/connection/worker.h"

#define TICK_MS 250u
#define STALLED_TICKS 4u  /* without a reply taken: may be dropped */
#define REFUSED_TICKS 40u /* without memory: those who wait get ENOMEM */

/* Says whether it took no reply, or sent nothing of what it writes, for so long, while it holds
 * what others wait for. */
static bool is_stalled(struct transmission *t)
{
    bool takes_nothing = t->outbox.sending && t->outbox.sends == t->sends_seen;
    bool sends_nothing = t->receiving != NULL && t->recv_pending && t->receives == t->receives_seen;

    t->stalled_ticks = takes_nothing || sends_nothing ? t->stalled_ticks + 1 : 0;
    t->sends_seen = t->outbox.sends;
    t->receives_seen = t->receives;
    return t->stalled_ticks >= STALLED_TICKS && t->holds.bytes > 0;
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
        conversation_log(&connection->talk, LOG_WARNING,
                         "stalled while others waited for memory; dropped");
        transmission_abort(t); /* it ends in an event of its own */
        dropped++;
    }
    return dropped;
}

static void tell(struct memory_pressure *pressure)
{
    if (!pressure->told)
        log_write_of(
            LOG_WARNING, "memory",
            "there is none for data buffers; clients wait (see --memory-max, the limits of the "
            "cgroup and of the process)");
    pressure->told = true;
}

static void relieve(struct memory_pressure *pressure)
{
    struct worker *worker = pressure->worker;

    if (buffer_pool_is_starved(worker->buffers)) {
        pressure->starved_ticks++;
        tell(pressure);
        if (drop_stalled(worker) > 0)
            pressure->starved_ticks = 0; /* some comes back */
    } else {
        pressure->starved_ticks = 0;
    }
    transmission_unpark(worker, UINT_MAX); /* whatever they wait for */
    if (pressure->starved_ticks >= REFUSED_TICKS && buffer_pool_is_starved(worker->buffers))
        transmission_refuse_parked(worker);
}

static void tick(struct io_event *ev, int result)
{
    struct memory_pressure *pressure = container_of(ev, struct memory_pressure, timer.event);
    struct worker *worker = pressure->worker;

    (void)result;
    if (pressure->ending) {
        loop_stop(worker->loop);
        return;
    }
    if (worker->parked.first != NULL)
        relieve(pressure);
    if (worker->parked.first != NULL) {
        loop_timer_start(worker->loop, &pressure->timer, TICK_MS);
        return;
    }
    if (pressure->told && !buffer_pool_is_starved(worker->buffers))
        log_write_of(LOG_NOTICE, "memory", "there is enough for data buffers again");
    pressure->running = pressure->told = false;
    pressure->starved_ticks = 0;
}

/* Somebody waits. */
static void begin(struct io_event *ev, int result)
{
    struct memory_pressure *pressure = container_of(ev, struct memory_pressure, room_wanted);

    (void)result;
    if (pressure->running)
        return;
    pressure->running = true;
    loop_timer_start(pressure->worker->loop, &pressure->timer, TICK_MS);
}

void memory_pressure_init(struct memory_pressure *pressure, struct worker *worker)
{
    *pressure = (struct memory_pressure){ .worker = worker };
    pressure->timer.event.fn = tick;
    pressure->room_wanted.fn = begin;
    worker->room_wanted = &pressure->room_wanted;
}

void memory_pressure_stop(struct memory_pressure *pressure)
{
    if (!pressure->running)
        return;
    pressure->ending = true;
    loop_cancel(pressure->worker->loop, &pressure->timer.event);
    loop_run(pressure->worker->loop);
}
