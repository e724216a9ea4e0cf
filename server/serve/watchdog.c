#include "server/serve/watchdog.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/board/board-owner.h"
#include "server/serve/notify.h"

/* The answers to one question are told with the next: a worker that answers late has as long again.
 */
#define QUESTIONS_A_WATCH 4u

struct watchdog {
    struct loop *loop;
    struct loop_timer timer;
    unsigned every_ms;
    bool stopped;
    struct worker_thread *const *workers;
    unsigned worker_count;
    atomic_uint unanswered;
    struct question {
        struct loop_message message;
        struct watchdog *watchdog;
    } questions[]; /* one per worker */
};

/* 0: nobody wants to hear. */
static unsigned wanted_every_ms(void)
{
    const char *usec = getenv("WATCHDOG_USEC");
    const char *pid = getenv("WATCHDOG_PID");

    if (usec == NULL || (pid != NULL && strtol(pid, NULL, 10) != getpid()))
        return 0;
    unsigned long long every_ms = strtoull(usec, NULL, 10) / 1000 / QUESTIONS_A_WATCH;
    return every_ms > UINT_MAX / 2 ? UINT_MAX / 2 : (unsigned)every_ms;
}

/* A worker's thread. */
static void answer(struct io_event *ev, int result)
{
    struct question *question = container_of(ev, struct question, message.event);

    struct watchdog *watchdog = question->watchdog;
    const struct worker_thread *thread = watchdog->workers[question - watchdog->questions];

    (void)result;
    board_put(&thread->worker.row->answered_ns, loop_now_ns());
    atomic_fetch_sub(&watchdog->unanswered, 1);
}

static void ask(struct watchdog *watchdog)
{
    atomic_store(&watchdog->unanswered, watchdog->worker_count);
    for (unsigned i = 0; i < watchdog->worker_count; i++)
        loop_post(watchdog->workers[i]->worker.loop, &watchdog->questions[i].message);
}

static void look(struct io_event *ev, int result)
{
    struct watchdog *watchdog = container_of(ev, struct watchdog, timer.event);

    (void)result;
    if (watchdog->stopped)
        return;
    if (atomic_load(&watchdog->unanswered) == 0) {
        notify_service_manager("WATCHDOG=1");
        ask(watchdog);
    }
    loop_timer_start(watchdog->loop, &watchdog->timer, watchdog->every_ms);
}

int watchdog_start(struct watchdog **out, struct loop *loop, struct worker_thread *const *workers,
                   unsigned worker_count, struct error *err)
{
    unsigned every_ms = wanted_every_ms();

    if (every_ms == 0)
        return 0;
    struct watchdog *watchdog =
        calloc(1, sizeof *watchdog + worker_count * sizeof *watchdog->questions);
    if (watchdog == NULL)
        return error_no_memory(err, "for the watchdog");
    watchdog->loop = loop;
    watchdog->every_ms = every_ms;
    watchdog->workers = workers;
    watchdog->worker_count = worker_count;
    watchdog->timer.event.fn = look;
    for (unsigned i = 0; i < worker_count; i++)
        watchdog->questions[i] =
            (struct question){ .message.event.fn = answer, .watchdog = watchdog };
    ask(watchdog);
    loop_timer_start(loop, &watchdog->timer, every_ms);
    *out = watchdog;
    return 0;
}

void watchdog_stop(struct watchdog *watchdog)
{
    if (watchdog == NULL || watchdog->stopped)
        return;
    watchdog->stopped = true;
    loop_cancel(watchdog->loop, &watchdog->timer.event);
}

void watchdog_free(struct watchdog *watchdog)
{
    free(watchdog);
}
