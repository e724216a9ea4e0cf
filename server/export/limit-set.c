#include "server/export/limit-set.h"

#include <stddef.h>

#define KINDS(a, b) (1u << (a) | 1u << (b))
#define TWICE(kinds) ((kinds) | (kinds) << LIMIT_KINDS)
#define OF_ALL (KINDS(LIMIT_IOPS, LIMIT_BANDWIDTH))
#define OF_READS TWICE(OF_ALL | KINDS(LIMIT_READ_IOPS, LIMIT_READ_BANDWIDTH))
#define OF_WRITES TWICE(OF_ALL | KINDS(LIMIT_WRITE_IOPS, LIMIT_WRITE_BANDWIDTH))
#define OF_OPERATIONS TWICE((1u << LIMIT_IOPS_KINDS) - 1)

#define CATCH_UP_NS (RATE_LIMIT_SLACK_MS * UINT64_C(1000000))
#define YIELD_NS UINT64_C(1000000) /* until one looks again whether others have their part */

#define get(field) atomic_load_explicit(field, memory_order_relaxed)
#define put(field, value) atomic_store_explicit(field, value, memory_order_relaxed)

/* ---- changes ---- */

/* At the rate of the burst it lasts as long as was said: meanwhile the other rate goes on. */
static uint64_t burst_of(const struct limit_terms *terms, unsigned kind)
{
    uint64_t beyond = terms->burst_rate[kind] - terms->rate[kind], all;

    if (terms->burst_rate[kind] == 0)
        return 0;
    return __builtin_mul_overflow(beyond, terms->burst_seconds[kind], &all) ? UINT64_MAX : all;
}

void limit_set_use(struct limit_set *set, const struct limit_terms *terms, uint64_t now_ns)
{
    unsigned holds = 0;

    for (unsigned i = 0; i < LIMIT_KINDS; i++) {
        rate_limit_set(&set->rates[i], terms->rate[i], burst_of(terms, i), now_ns);
        rate_limit_set(&set->rates[LIMIT_KINDS + i], terms->burst_rate[i], 0, now_ns);
        holds |= (terms->rate[i] > 0 ? 1u : 0u) << i;
        holds |= (terms->burst_rate[i] > 0 ? 1u : 0u) << (LIMIT_KINDS + i);
    }
    put(&set->io_size_bytes, terms->io_size_bytes);
    put(&set->holds, holds);
    set->terms = *terms;
    atomic_fetch_add(&set->changes, 1);
}

bool limit_set_owes(const struct limit_set *set, uint64_t now_ns)
{
    for (unsigned i = 0; i < LIMIT_SET_RATES; i++)
        if (rate_limit_owes(&set->rates[i], now_ns))
            return true;
    return false;
}

/* ---- commands ---- */

static uint64_t operations_of(uint64_t bytes, uint64_t io_size_bytes)
{
    return io_size_bytes > 0 && bytes > io_size_bytes
               ? bytes / io_size_bytes + (bytes % io_size_bytes > 0)
               : 1;
}

void limit_claim_init(struct limit_claim *out, struct limit_set *set, bool writes,
                      uint64_t paid_bytes, uint64_t bytes)
{
    uint64_t io_size_bytes = get(&set->io_size_bytes);
    uint64_t operations = operations_of(paid_bytes + bytes, io_size_bytes);

    if (paid_bytes > 0)
        operations -= operations_of(paid_bytes, io_size_bytes);
    *out = (struct limit_claim){
        .set = set, .operations = operations, .bytes = bytes, .kinds = writes ? OF_WRITES : OF_READS
    };
}

static uint64_t units_of(const struct limit_claim *claim, unsigned rate)
{
    return OF_OPERATIONS >> rate & 1 ? claim->operations : claim->bytes;
}

/* Those that the command is about and that hold. */
static unsigned rates_of(const struct limit_claim *claim)
{
    return claim->kinds & get(&claim->set->holds);
}

static void give_back(struct limit_claim *claim)
{
    for (; claim->taken != 0; claim->taken &= claim->taken - 1) {
        unsigned rate = (unsigned)__builtin_ctz(claim->taken);

        rate_limit_give_back(&claim->set->rates[rate], units_of(claim, rate));
    }
}

bool limit_set_take_at_once(struct limit_set *set, bool writes, uint64_t bytes, uint64_t now_ns)
{
    struct limit_claim claim = { .set = set,
                                 .operations = operations_of(bytes, get(&set->io_size_bytes)),
                                 .bytes = bytes };
    unsigned wanted = (writes ? OF_WRITES : OF_READS) & get(&set->holds);

    for (unsigned rest = wanted; rest != 0; rest &= rest - 1) {
        unsigned rate = (unsigned)__builtin_ctz(rest);

        if (!rate_limit_take_at_once(&set->rates[rate], units_of(&claim, rate), now_ns)) {
            claim.taken = wanted & ((1u << rate) - 1);
            give_back(&claim);
            return false;
        }
    }
    return true;
}

/* One command of a member at a time waits for its part: the others stand in line. */
static bool may_be_front(const struct limit_claim *claim)
{
    return claim->part != NULL &&
           (claim->front || !atomic_load_explicit(&claim->part->has_front, memory_order_relaxed));
}

/* Until the member has had no more of the group than its part, of all that the command is about. */
static uint64_t right_ns(const struct limit_claim *claim, uint64_t now_ns)
{
    uint64_t longest_ns = 0;

    for (unsigned rest = rates_of(claim); rest != 0; rest &= rest - 1) {
        uint64_t ns = rate_limit_right_ns(&claim->part->paid[__builtin_ctz(rest)], now_ns);

        longest_ns = ns > longest_ns ? ns : longest_ns;
    }
    return longest_ns;
}

static bool has_right(const struct limit_claim *claim, const struct rate_taker *taker)
{
    return claim->rightful || (may_be_front(claim) && right_ns(claim, taker->now_ns) == 0);
}

/* In a group one who has a right does not stand in line, and nobody catches up on others for more
 * than a moment: else those with the most connections would have it all. */
static struct rate_taker taker_of(const struct limit_claim *claim, const struct rate_taker *taker)
{
    struct rate_taker result = *taker;

    if (claim->part == NULL)
        return result;
    result.waited |= has_right(claim, taker);
    if (result.overdue_ns > CATCH_UP_NS)
        result.overdue_ns = CATCH_UP_NS;
    return result;
}

static bool yields(const struct limit_claim *claim, const struct rate_taker *taker)
{
    return claim->part != NULL && get(&claim->set->rightful) > 0 && !has_right(claim, taker);
}

static bool take(struct limit_claim *claim, const struct rate_taker *taker)
{
    struct rate_taker here = taker_of(claim, taker);

    claim->taken = 0;
    if (yields(claim, taker))
        return false;
    for (unsigned rest = rates_of(claim); rest != 0; rest &= rest - 1) {
        unsigned rate = (unsigned)__builtin_ctz(rest);

        if (!rate_limit_take(&claim->set->rates[rate], units_of(claim, rate), &here))
            return false;
        claim->taken |= 1u << rate;
    }
    return true;
}

static void count_part(const struct limit_claim *claim, uint64_t now_ns)
{
    if (claim->part == NULL)
        return;
    const struct rate_part part = { get(&claim->part->weight), get(&claim->set->weight) };
    for (unsigned rest = claim->taken; rest != 0; rest &= rest - 1) {
        unsigned rate = (unsigned)__builtin_ctz(rest);

        rate_limit_count_part(&claim->set->rates[rate], &claim->part->paid[rate], part,
                              units_of(claim, rate), now_ns);
    }
}

bool limit_claims_take(struct limit_claim *claims, unsigned count, const struct rate_taker *taker)
{
    unsigned taken = 0;

    while (taken < count && take(&claims[taken], taker))
        taken++;
    for (unsigned i = 0; taken < count && i <= taken; i++)
        give_back(&claims[i]);
    for (unsigned i = 0; taken == count && i < count; i++)
        count_part(&claims[i], taker->now_ns);
    return taken == count;
}

/* Until one of the limits of a claim lets it go: in line, or for its part of a group. */
static uint64_t wait_of(const struct limit_claim *claim, unsigned rate,
                        const struct rate_taker *taker)
{
    const struct rate_limit *limit = &claim->set->rates[rate];
    struct rate_taker here = taker_of(claim, taker);
    uint64_t wait_ns = rate_limit_wait_ns(limit, &here);

    if (yields(claim, taker) && wait_ns < YIELD_NS)
        wait_ns = YIELD_NS;
    if (here.waited || !may_be_front(claim))
        return wait_ns;
    here.waited = true;
    uint64_t front_ns = rate_limit_wait_ns(limit, &here);
    uint64_t part_ns = right_ns(claim, taker->now_ns);
    front_ns = front_ns > part_ns ? front_ns : part_ns;
    return front_ns < wait_ns ? front_ns : wait_ns;
}

/* The longest wait, and for which limit of which claim. */
struct longest {
    uint64_t ns;
    unsigned claim, rate;
};

static struct longest longest_wait(const struct limit_claim *claims, unsigned count,
                                   const struct rate_taker *taker)
{
    struct longest longest = { 0, count, 0 };

    for (unsigned i = 0; i < count; i++)
        for (unsigned rest = rates_of(&claims[i]); rest != 0; rest &= rest - 1) {
            unsigned rate = (unsigned)__builtin_ctz(rest);
            uint64_t ns = wait_of(&claims[i], rate, taker);

            if (ns > longest.ns)
                longest = (struct longest){ ns, i, rate };
        }
    return longest;
}

uint64_t limit_claims_wait_ns(const struct limit_claim *claims, unsigned count,
                              const struct rate_taker *taker)
{
    return longest_wait(claims, count, taker).ns;
}

/* By the time that there is something for it, if not now. */
static bool will_have_right(const struct limit_claim *claim, unsigned rate,
                            const struct rate_taker *taker)
{
    struct rate_taker here = *taker;

    here.waited = true;
    return right_ns(claim, taker->now_ns) <= rate_limit_wait_ns(&claim->set->rates[rate], &here);
}

void limit_claims_join(struct limit_claim *claims, unsigned count, const struct rate_taker *taker)
{
    struct longest longest = longest_wait(claims, count, taker);

    if (longest.claim == count)
        return;
    struct limit_claim *claim = &claims[longest.claim];
    rate_limit_join(&claim->set->rates[longest.rate], units_of(claim, longest.rate));
    claim->joined = 1u << longest.rate;
    claim->front = claim->part != NULL &&
                   !atomic_exchange_explicit(&claim->part->has_front, true, memory_order_relaxed);
    claim->rightful = claim->front && will_have_right(claim, longest.rate, taker);
    if (claim->rightful)
        atomic_fetch_add_explicit(&claim->set->rightful, 1, memory_order_relaxed);
}

void limit_claims_leave(struct limit_claim *claims, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct limit_claim *claim = &claims[i];

        for (; claim->joined != 0; claim->joined &= claim->joined - 1) {
            unsigned rate = (unsigned)__builtin_ctz(claim->joined);

            rate_limit_leave(&claim->set->rates[rate], units_of(claim, rate));
        }
        if (claim->rightful)
            atomic_fetch_sub_explicit(&claim->set->rightful, 1, memory_order_relaxed);
        if (claim->front)
            put(&claim->part->has_front, false);
        claim->rightful = claim->front = false;
    }
}
