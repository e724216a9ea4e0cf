#include "server/connection/stall-watch.h"

#include "server/base/log.h"
#include "server/connection/connection.h"
#include "server/connection/transmission.h"
#include "server/connection/worker.h"

static void look(const struct stall_watch *watch, struct connection *connection)
{
    const char *did = stall_look(&connection->stall, connection->transmission);

    if (did == NULL)
        return;
    conversation_log(&connection->talk, LOG_NOTICE, "%s for %u seconds (--stall-timeout); dropped",
                     did, (watch->timeout_ms + 999) / 1000);
    transmission_abort(connection->transmission); /* it ends in an event of its own */
}

static void tick(struct io_event *ev, int result)
{
    struct stall_watch *watch = container_of(ev, struct stall_watch, timer.event);

    (void)result;
    watch->running = false;
    if (watch->ending) {
        loop_stop(watch->worker->loop);
        return;
    }
    for (struct connection *connection = watch->worker->connections;
         connection != NULL && watch->timeout_ms > 0; connection = connection->next) {
        /* Those that are told to go have a shorter time. */
        if (connection->state == CONNECTION_TRANSMISSION && !connection->transmission->aborted)
            look(watch, connection);
    }
    if (watch->worker->connections != NULL)
        stall_watch_begin(watch);
}

void stall_watch_init(struct stall_watch *watch, struct worker *worker, unsigned timeout_ms)
{
    *watch = (struct stall_watch){ .worker = worker, .timeout_ms = timeout_ms };
    watch->timer.event.fn = tick;
}

void stall_watch_begin(struct stall_watch *watch)
{
    unsigned tick_ms = watch->timeout_ms / STALL_TICKS;

    if (watch->timeout_ms == 0 || watch->running)
        return;
    watch->running = true;
    loop_timer_start(watch->worker->loop, &watch->timer, tick_ms > 0 ? tick_ms : 1);
}

void stall_watch_stop(struct stall_watch *watch)
{
    if (!watch->running)
        return;
    watch->ending = true;
    loop_cancel(watch->worker->loop, &watch->timer.event);
    loop_run(watch->worker->loop);
}
