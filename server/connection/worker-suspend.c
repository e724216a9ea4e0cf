#include "server/connection/worker-suspend.h"

#include "server/base/log.h"
#include "server/block/luks-layer.h"
#include "server/connection/connection.h"
#include "server/connection/transmission.h"

#define LOOK_MS 10u
#define LOOKS_MAX (WORKER_SUSPEND_SECONDS_MAX * 1000u / LOOK_MS)
#define LAST_LOOKS 100u /* for connections that were ended to go */

/* The transmission of a client of the export; NULL: it has none, or is none. */
static struct transmission *transmission_of(const struct connection *one,
                                            const struct export *export)
{
    return one->talk.export == export ? one->transmission : NULL;
}

/* No command is under way. */
static bool is_quiet(const struct transmission *t)
{
    return t->holds.commands == 0 && !t->outbox.sending && long_zeroes_are_idle(&t->zeroes);
}

static unsigned count_unquiet(const struct worker_suspend *suspend)
{
    unsigned count = 0;

    for (const struct connection *one = suspend->worker->connections; one != NULL;
         one = one->next) {
        const struct transmission *t = transmission_of(one, suspend->export);

        count += t != NULL && !is_quiet(t);
    }
    return count;
}

/* What is in flight ends with them, unless storage has it. */
static void cut_unquiet(const struct worker_suspend *suspend)
{
    for (struct connection *one = suspend->worker->connections, *next; one != NULL; one = next) {
        struct transmission *t = transmission_of(one, suspend->export);

        next = one->next;
        if (t == NULL || is_quiet(t))
            continue;
        conversation_log(
            &one->talk, LOG_WARNING,
            "did not end a request within %u seconds, and the key of export '%s' has to "
            "go: its connection is ended",
            WORKER_SUSPEND_SECONDS_MAX, suspend->export->name);
        one->scrubs = true;
        transmission_abort(t);
    }
}

/* False: not all of them are clean yet. */
static bool scrub_transports(struct worker_suspend *suspend)
{
    bool clean = true;

    for (struct connection *one = suspend->worker->connections; one != NULL; one = one->next) {
        struct transport *transport = one->talk.transport;

        if (transmission_of(one, suspend->export) != NULL)
            clean &= transport->ops->scrub(transport, suspend->scrubs);
    }
    if (!suspend->scrubs && suspend->looks > LOOKS_MAX - LAST_LOOKS)
        suspend->looks = LOOKS_MAX - LAST_LOOKS; /* it has its time, however long clients took */
    suspend->scrubs = true;
    return clean;
}

static void forget(struct worker_suspend *suspend)
{
    struct worker *worker = suspend->worker;
    struct export_part *part = &suspend->export->parts[worker->index];

    if (!suspend->scrubs)
        (void)scrub_transports(suspend); /* as far as it can be done without waiting */
    if (part->layer != NULL)
        luks_layer_forget(part->layer);
    buffer_pool_scrub(worker->buffers);
    tls_buffers_scrub(&worker->tls_buffers);
    suspend->done(suspend);
}

static void look(struct worker_suspend *suspend)
{
    suspend->left = count_unquiet(suspend);
    if (suspend->left > 0 && suspend->looks == LOOKS_MAX && !suspend->cut) {
        suspend->cut = true;
        suspend->looks = LOOKS_MAX - LAST_LOOKS;
        cut_unquiet(suspend);
    }
    bool waits = suspend->left > 0 || !scrub_transports(suspend);
    if (waits && suspend->looks++ < LOOKS_MAX)
        loop_timer_start(suspend->worker->loop, &suspend->look, LOOK_MS);
    else
        forget(suspend);
}

static void look_again(struct io_event *ev, int result)
{
    (void)result;
    look(container_of(ev, struct worker_suspend, look.event));
}

static void suspend_here(struct io_event *ev, int result)
{
    struct worker_suspend *suspend = container_of(ev, struct worker_suspend, message.event);
    struct worker *worker = suspend->worker;

    (void)result;
    suspend->export->parts[worker->index].suspended = true;
    for (struct connection *one = worker->connections; one != NULL; one = one->next) {
        struct transmission *t = transmission_of(one, suspend->export);

        if (t != NULL)
            t->suspended = !t->terms.draining;
    }
    look(suspend);
}

static void begin(struct worker *worker, struct worker_suspend *suspend,
                  void (*here)(struct io_event *ev, int result))
{
    suspend->worker = worker;
    suspend->looks = suspend->left = 0;
    suspend->cut = suspend->scrubs = false;
    suspend->code = 0;
    suspend->look.event.fn = look_again;
    suspend->message.event.fn = here;
    loop_post(worker->loop, &suspend->message);
}

void worker_suspend_export(struct worker *worker, struct worker_suspend *suspend)
{
    begin(worker, suspend, suspend_here);
}

static void resume_here(struct io_event *ev, int result)
{
    struct worker_suspend *suspend = container_of(ev, struct worker_suspend, message.event);
    struct worker *worker = suspend->worker;
    struct export_part *part = &suspend->export->parts[worker->index];
    struct error err;

    (void)result;
    if (part->layer != NULL)
        suspend->code = luks_layer_restore(part->layer, &err);
    part->suspended = suspend->code < 0;
    for (struct connection *one = worker->connections, *next; !part->suspended && one != NULL;
         one = next) {
        struct transmission *t = transmission_of(one, suspend->export);

        next = one->next;
        if (t != NULL)
            transmission_resume(t);
    }
    suspend->done(suspend);
}

void worker_resume_export(struct worker *worker, struct worker_suspend *suspend)
{
    begin(worker, suspend, resume_here);
}
