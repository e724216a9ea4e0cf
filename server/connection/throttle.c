#include "server/connection/throttle.h"

#include <stdlib.h>

#include "server/base/log.h"
#include "server/connection/worker.h"

#define NS_PER_MS UINT64_C(1000000)
/* How late a change of the limits is noticed at most by who waits, and the next one after it. */
#define LOOK_MS 100u
#define LOOK_AGAIN_MS 5u

static bool is_free(uint16_t command)
{
    return command == NBD_CMD_FLUSH || command == NBD_CMD_DISC;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* What goes at a time of a WRITE_ZEROES that goes aside. */
static uint64_t part_bytes_of(const struct limits *limits)
{
    return limits->zero_needs_data ? BUFFER_BYTES_MAX : REQUEST_BYTES_MAX;
}

/* What it moves.  One that asks for more than there may be is refused: it costs as much as one that
 * is not, or the others would wait for what it owes.  Of a WRITE_ZEROES the first part: what it
 * moves is paid for part by part, so that others have their turn between them. */
static uint64_t bytes_of(const struct limits *limits, const struct nbd_request *request)
{
    uint64_t length_bytes = request->length_bytes;

    switch (request->command) {
    case NBD_CMD_READ:
    case NBD_CMD_WRITE:
        return smaller(length_bytes, NBD_PAYLOAD_BYTES_MAX);
    case NBD_CMD_CACHE:
        return smaller(length_bytes, smaller(limits_size_bytes(limits), REQUEST_BYTES_MAX));
    case NBD_CMD_WRITE_ZEROES:
        return smaller(length_bytes, smaller(limits_size_bytes(limits), part_bytes_of(limits)));
    default:
        return 0;
    }
}

/* A BLOCK_STATUS is as much work for each context that it asks about.  With a payload the header
 * tells how many it names: if there are more than were agreed on, it is refused. */
static uint64_t contexts_of(const struct command_terms *terms, const struct nbd_request *request)
{
    uint64_t contexts = (uint64_t)__builtin_popcount(terms->contexts);

    if (terms->extended && request->flags & NBD_CMD_FLAG_PAYLOAD_LEN)
        contexts = smaller(contexts, (request->length_bytes - NBD_STATUS_QUERY_BYTES) / 4 + 1);
    return contexts > 0 ? contexts : 1;
}

static bool writes(uint16_t command)
{
    return command == NBD_CMD_WRITE || command == NBD_CMD_WRITE_ZEROES || command == NBD_CMD_TRIM;
}

static unsigned changes_of(const struct throttle *throttle)
{
    unsigned changes = 0;

    for (unsigned i = 0; i < throttle->claim_count; i++)
        changes += atomic_load_explicit(&throttle->claims[i].set->changes, memory_order_relaxed);
    return changes;
}

static void start_timer(struct throttle *throttle, uint64_t wait_ns)
{
    uint64_t wait_ms = wait_ns / NS_PER_MS + 1;
    unsigned look_ms = throttle->changing ? LOOK_AGAIN_MS : LOOK_MS;

    throttle->running = true;
    loop_timer_start(throttle->loop, &throttle->timer,
                     wait_ms < look_ms ? (unsigned)wait_ms : look_ms);
}

/* At the end of the line, as of now. */
static void begin_to_wait(struct throttle *throttle, const struct rate_taker *taker)
{
    throttle->due_ns =
        taker->now_ns + limit_claims_wait_ns(throttle->claims, throttle->claim_count, taker);
    limit_claims_join(throttle->claims, throttle->claim_count, taker);
}

/* Other limits hold now, or the clock has gone back: what was calculated is wrong. */
static bool is_outdated(struct throttle *throttle, uint64_t now_ns)
{
    unsigned before = throttle->changes;

    throttle->changes = changes_of(throttle);
    throttle->changing = throttle->changes != before;
    return throttle->changing || now_ns < throttle->since_ns;
}

/* It has waited.  False: it goes on with that. */
static bool pass_in_turn(struct throttle *throttle, struct rate_taker *taker)
{
    if (taker->now_ns < throttle->due_ns)
        return false;
    taker->waited = true;
    taker->overdue_ns = taker->now_ns - throttle->due_ns;
    if (limit_claims_take(throttle->claims, throttle->claim_count, taker))
        return true;
    /* It waits for another one now, and is not overdue there: else it would take what nobody owes.
     */
    taker->overdue_ns = 0;
    limit_claims_leave(throttle->claims, throttle->claim_count);
    begin_to_wait(throttle, taker);
    return false;
}

static bool pass_anew(struct throttle *throttle, struct rate_taker *taker)
{
    if (limit_claims_take(throttle->claims, throttle->claim_count, taker))
        return true;
    begin_to_wait(throttle, taker);
    return false;
}

static uint64_t left_ns(const struct throttle *throttle, const struct rate_taker *taker)
{
    return throttle->due_ns > taker->now_ns
               ? throttle->due_ns - taker->now_ns
               : limit_claims_wait_ns(throttle->claims, throttle->claim_count, taker);
}

void throttle_init(struct throttle *throttle, const struct conversation *talk,
                   const struct command_terms *terms, const struct command_record *record,
                   void (*again)(struct io_event *ev, int result))
{
    char *identity = peer_identity(&talk->peer);

    *throttle = (struct throttle){ .loop = talk->worker->loop,
                                   .export = talk->export,
                                   .terms = terms,
                                   .record = record,
                                   .timer.event.fn = again };
    if (identity != NULL)
        throttle->client = limit_clients_enter(&talk->export->clients, identity, loop_now_ns());
    if (throttle->client == NULL)
        conversation_log(talk, LOG_WARNING,
                         "not enough memory for limits of its own (client-limit-iops and "
                         "client-limit-bandwidth): it has none");
    free(identity);
}

void throttle_free(struct throttle *throttle)
{
    if (throttle->client != NULL)
        limit_clients_leave(&throttle->export->clients, throttle->client, loop_now_ns());
}

void throttle_init_parts(struct throttle *parts, const struct throttle *whole,
                         void (*again)(struct io_event *ev, int result))
{
    *parts = (struct throttle){ .loop = whole->loop,
                                .export = whole->export,
                                .client = whole->client,
                                .timer.event.fn = again };
}

struct claims {
    unsigned count;
    struct limit_claim *at;
};

static void add_claim(struct claims *claims, const struct throttle *throttle, struct limit_set *set,
                      const struct nbd_request *request)
{
    if (set == NULL)
        return;
    limit_claim_init(&claims->at[claims->count++], set, writes(request->command),
                     throttle->paid_bytes, bytes_of(&throttle->export->limits, request));
}

/* Their number. */
static unsigned fill_claims(struct limit_claim at[THROTTLE_SETS], struct throttle *throttle,
                            const struct nbd_request *request)
{
    struct export *ex = throttle->export;
    struct limit_set *group = atomic_load(&ex->group);
    struct claims claims = { .at = at };

    add_claim(&claims, throttle, &ex->rates, request);
    add_claim(&claims, throttle, group, request);
    if (group != NULL)
        at[claims.count - 1].part = &ex->part;
    add_claim(&claims, throttle, throttle->client, request);
    return claims.count;
}

static void make_claims(struct throttle *throttle, const struct nbd_request *request)
{
    throttle->claim_count = fill_claims(throttle->claims, throttle, request);
    if (request->command == NBD_CMD_BLOCK_STATUS)
        for (unsigned i = 0; i < throttle->claim_count; i++)
            throttle->claims[i].operations = contexts_of(throttle->terms, request);
}

/* One that has not waited yet. */
static bool pass_first(struct throttle *throttle, const struct nbd_request *request,
                       struct rate_taker *taker)
{
    make_claims(throttle, request);
    throttle->held_ns = 0;
    (void)is_outdated(throttle, taker->now_ns);
    if (pass_anew(throttle, taker))
        return true;
    throttle->since_ns = taker->now_ns;
    if (throttle->record != NULL)
        command_record_hold(throttle->record, command_op_of(request->command),
                            request->offset_bytes, request->length_bytes);
    return false;
}

/* Another group may have become its own. */
static bool pass_again(struct throttle *throttle, const struct nbd_request *request,
                       struct rate_taker *taker)
{
    if (!is_outdated(throttle, taker->now_ns))
        return pass_in_turn(throttle, taker);
    limit_claims_leave(throttle->claims, throttle->claim_count);
    make_claims(throttle, request);
    throttle->changes = changes_of(throttle);
    if (throttle->since_ns > taker->now_ns)
        throttle->since_ns = taker->now_ns;
    return pass_anew(throttle, taker);
}

/* Nearly all commands where limits are far away.  A WRITE_ZEROES may pay part by part, and a
 * BLOCK_STATUS, the only command behind it, for several contexts. */
static inline bool pass_at_once(struct throttle *throttle, const struct nbd_request *request)
{
    struct export *ex = throttle->export;

    if (throttle->since_ns != 0 || request->command >= NBD_CMD_WRITE_ZEROES ||
        atomic_load_explicit(&ex->group, memory_order_relaxed) != NULL ||
        (throttle->client != NULL && limit_set_holds(throttle->client)))
        return false;
    throttle->held_ns = 0;
    return limit_set_take_at_once(&ex->rates, writes(request->command),
                                  bytes_of(&ex->limits, request), loop_now_ns());
}

static void end_waiting(struct throttle *throttle)
{
    if (throttle->since_ns == 0)
        return;
    limit_claims_leave(throttle->claims, throttle->claim_count);
    if (throttle->record != NULL)
        command_record_let_go(throttle->record, throttle->since_ns);
    throttle->held_ns = throttle->since_ns;
    throttle->since_ns = 0;
}

static bool pass(struct throttle *throttle, const struct nbd_request *request)
{
    struct rate_taker taker = { .now_ns = loop_now_ns() };

    if (throttle->since_ns == 0 ? pass_first(throttle, request, &taker)
                                : pass_again(throttle, request, &taker)) {
        end_waiting(throttle);
        return true;
    }
    start_timer(throttle, left_ns(throttle, &taker));
    return false;
}

bool throttle_pass(struct throttle *throttle, const uint8_t *header)
{
    struct nbd_request request;
    bool paid = throttle->paid;

    throttle->paid = false;
    return paid || !nbd_decode_request_of(header, throttle->terms->extended, &request) ||
           is_free(request.command) || pass_at_once(throttle, &request) || pass(throttle, &request);
}

bool throttle_pass_part(struct throttle *parts, uint64_t from_bytes, uint64_t length_bytes)
{
    uint64_t first_bytes = part_bytes_of(&parts->export->limits);
    uint64_t paid_bytes = from_bytes > first_bytes ? from_bytes : first_bytes;
    struct nbd_request request = { .command = NBD_CMD_WRITE_ZEROES };
    bool paid = parts->paid || from_bytes + length_bytes <= paid_bytes;

    request.length_bytes = paid ? 0 : from_bytes + length_bytes - paid_bytes;
    parts->paid_bytes = paid_bytes;
    parts->paid = false;
    return paid || (!parts->running && pass(parts, &request));
}

bool throttle_takes_more(struct throttle *throttle)
{
    const struct nbd_request request = { .command = NBD_CMD_BLOCK_STATUS };
    const struct rate_taker taker = { .now_ns = loop_now_ns() };
    struct limit_claim claims[THROTTLE_SETS];

    return limit_claims_take(claims, fill_claims(claims, throttle, &request), &taker);
}

void throttle_end(struct throttle *throttle)
{
    end_waiting(throttle);
    if (throttle->running)
        loop_cancel(throttle->loop, &throttle->timer.event);
}
