#include "server/connection/fair-share.h"

#include "server/connection/connection.h"
#include "server/connection/transmission.h"
#include "server/connection/worker.h"

#define KEYS 256u       /* clients that meet in one by chance share what each would have had */
#define LONG_ONES_IN 8u /* so many batches: the window is too large */
#define WINDOW_MOST (4u * HOLDINGS_COMMANDS_MAX)
#define BYTES_A_COMMAND (64u * 1024u)
#define BYTES_LEAST (2u * BUFFER_BYTES_MAX)

/* Those who were at work since the last look. */
struct census {
    unsigned clients;
    uint64_t weights;
    uint16_t connections[KEYS]; /* of each client */
};

static struct transmission *transmission_of(const struct connection *one)
{
    return one->state == CONNECTION_TRANSMISSION ? one->transmission : NULL;
}

/* A client of an export: throttle.h has found it by what it has proven. */
static unsigned key_of(const struct transmission *t)
{
    uintptr_t client = t->throttle.client != NULL ? (uintptr_t)t->throttle.client : (uintptr_t)t;

    return (unsigned)((client >> 6) * 2654435761u >> 8) % KEYS;
}

static bool was_at_work(struct transmission *t)
{
    bool works = t->outbox.sends != t->share_sends || t->receive_waits;

    t->share_sends = t->outbox.sends;
    return works;
}

static void count(struct census *out, const struct worker *worker)
{
    *out = (struct census){ 0 };
    for (const struct connection *one = worker->connections; one != NULL; one = one->next) {
        struct transmission *t = transmission_of(one);

        if (t == NULL || !was_at_work(t))
            continue;
        if (out->connections[key_of(t)]++ > 0)
            continue;
        out->clients++;
        out->weights += export_weight(t->export);
    }
}

static void give(struct holdings *holds, uint64_t commands)
{
    uint64_t bytes = commands * BYTES_A_COMMAND;

    holds->commands_max =
        commands < HOLDINGS_COMMANDS_MAX ? (unsigned)commands : HOLDINGS_COMMANDS_MAX;
    holds->bytes_max = bytes < BYTES_LEAST          ? BYTES_LEAST
                       : bytes < HOLDINGS_BYTES_MAX ? (size_t)bytes
                                                    : HOLDINGS_BYTES_MAX;
}

/* Each connection has its part of that of its client, and one command at the least. */
static void share_out(const struct worker *worker, const struct census *census, unsigned window)
{
    for (const struct connection *one = worker->connections; one != NULL; one = one->next) {
        struct transmission *t = transmission_of(one);

        if (t == NULL)
            continue;
        uint64_t connections = census->connections[key_of(t)], weight = export_weight(t->export);
        uint64_t weights = census->weights + (connections == 0 ? weight : 0);
        uint64_t part = window * weight / (weights * (connections > 0 ? connections : 1));
        give(&t->holds, part > 0 ? part : 1);
    }
}

static void stop(struct fair_share *share)
{
    struct worker *worker = share->worker;

    share->window = 0;
    for (const struct connection *one = worker->connections; one != NULL; one = one->next)
        if (transmission_of(one) != NULL)
            give(&transmission_of(one)->holds, HOLDINGS_COMMANDS_MAX);
    if (worker->parked.first != NULL)
        loop_defer(worker->loop, &worker->unpark);
}

static unsigned next_window(const struct fair_share *share, bool congested)
{
    unsigned window = share->window != 0 ? share->window : HOLDINGS_COMMANDS_MAX;

    window = congested ? window - window / 4 : window + window / 8 + 1;
    return window > FAIR_SHARE_COMMANDS_MIN ? window : FAIR_SHARE_COMMANDS_MIN;
}

static void look(struct fair_share *share)
{
    struct worker *worker = share->worker;
    bool congested = share->long_batches * LONG_ONES_IN > share->batches;
    struct census census;

    if (share->window == 0 && !congested)
        return;
    count(&census, worker);
    unsigned window = next_window(share, congested);
    if (census.clients < 2 || window > WINDOW_MOST) {
        if (share->window != 0)
            stop(share);
        return;
    }
    share->window = window;
    share_out(worker, &census, window);
    if (worker->parked.first != NULL)
        loop_defer(worker->loop, &worker->unpark);
}

void fair_share_batch(struct fair_share *share, uint64_t now_ns, uint64_t elapsed_ns)
{
    share->batches++;
    share->long_batches += elapsed_ns > FAIR_SHARE_LONG_NS;
    if (now_ns - share->look_ns < FAIR_SHARE_LOOK_NS)
        return;
    share->look_ns = now_ns;
    look(share);
    share->batches = share->long_batches = 0;
}

static void batch_ended(struct io_event *ev, int result)
{
    uint64_t now_ns = loop_now_ns();

    (void)result;
    fair_share_batch(container_of(ev, struct fair_share, crowded), now_ns, board_now_ns() - now_ns);
}

void fair_share_init(struct fair_share *share, struct worker *worker)
{
    *share = (struct fair_share){ .crowded.fn = batch_ended, .worker = worker };
    worker->crowded = &share->crowded;
}
