#include "server/connection/standing-watch.h"

#include <time.h>

#include "server/base/log-ids.h"
#include "server/base/log.h"
#include "server/connection/connection.h"
#include "server/connection/worker.h"
#include "server/tls/tls-standing.h"
#include "server/tls/tls.h"

/* The clock on the wall may be set, and machines sleep. */
#define LOOK_MAX_S 60

static int64_t wall_clock_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec;
}

static void send_away(struct connection *connection, const char *why)
{
    conversation_tell(&connection->talk, LOG_NOTICE, LOG_ID_CLIENT_DENIED,
                      "%s; its connection is ended", why);
    conversation_event(&connection->talk, "client.denied", why);
    connection_shutdown(connection);
}

/* ---- by time ---- */

static void arm(struct standing_watch *watch, int64_t at_s)
{
    int64_t now_s = wall_clock_s(), left_s = at_s > now_s ? at_s - now_s : 0;

    if (left_s > LOOK_MAX_S)
        left_s = LOOK_MAX_S;
    watch->at_s = now_s + left_s;
    watch->running = true;
    loop_timer_start(watch->worker->loop, &watch->timer, (unsigned)left_s * 1000 + 1);
}

/* When to look next; INT64_MAX: nobody has such a day. */
static int64_t end_those_who_are_over(struct worker *worker)
{
    int64_t now_s = wall_clock_s(), soonest_s = INT64_MAX;

    for (struct connection *one = worker->connections, *next; one != NULL; one = next) {
        int64_t end_s = tls_standing_end_s(&one->talk.peer);

        next = one->next;
        if (one->told_to_go || one->transmission == NULL)
            continue;
        if (end_s < now_s)
            send_away(one, "its certificate has expired");
        else if (end_s < soonest_s)
            soonest_s = end_s;
    }
    return soonest_s;
}

static void tick(struct io_event *ev, int result)
{
    struct standing_watch *watch = container_of(ev, struct standing_watch, timer.event);

    (void)result;
    watch->running = false;
    if (watch->ending) {
        loop_stop(watch->worker->loop);
        return;
    }
    int64_t soonest_s =
        watch->worker->tls->keeps_expired ? INT64_MAX : end_those_who_are_over(watch->worker);
    if (soonest_s != INT64_MAX)
        arm(watch, soonest_s + 1);
}

/* One more has such a day: so many seconds from now. */
static void certified(struct io_event *ev, int seconds)
{
    struct standing_watch *watch = container_of(ev, struct standing_watch, certified);
    int64_t at_s = wall_clock_s() + seconds + 1;

    if (watch->worker->tls->keeps_expired)
        return;
    if (!watch->running)
        arm(watch, at_s);
    else if (at_s < watch->at_s) {
        watch->at_s = at_s; /* it is asked for once */
        loop_cancel(watch->worker->loop, &watch->timer.event);
    }
}

/* ---- after a reload ---- */

static void look(struct io_event *ev, int result)
{
    struct standing_watch *watch = container_of(ev, struct standing_watch, look.event);
    struct tls_credentials *credentials = tls_credentials_now(watch->worker->tls);

    (void)result;
    atomic_store(&watch->looking, false);
    for (struct connection *one = watch->worker->connections, *next;
         one != NULL && credentials != NULL; one = next) {
        const char *why = tls_standing_lost(credentials, &one->talk.peer);

        next = one->next;
        if (why != NULL && !one->told_to_go)
            send_away(one, why);
    }
    tls_forget(credentials);
}

void standing_watch_look(struct standing_watch *watch)
{
    if (!atomic_exchange(&watch->looking, true))
        loop_post(watch->worker->loop, &watch->look);
}

/* ---- life ---- */

void standing_watch_init(struct standing_watch *watch, struct worker *worker)
{
    *watch = (struct standing_watch){ .worker = worker };
    watch->timer.event.fn = tick;
    watch->look.event.fn = look;
    watch->certified.fn = certified;
    worker->certified = &watch->certified;
}

void standing_watch_stop(struct standing_watch *watch)
{
    if (!watch->running)
        return;
    watch->ending = true;
    loop_cancel(watch->worker->loop, &watch->timer.event);
    loop_run(watch->worker->loop);
}
