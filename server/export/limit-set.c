#include "server/export/limit-set.h"

#define KINDS(a, b) (1u << (a) | 1u << (b))
#define TWICE(kinds) ((kinds) | (kinds) << LIMIT_KINDS)
#define OF_ALL (KINDS(LIMIT_IOPS, LIMIT_BANDWIDTH))
#define OF_READS TWICE(OF_ALL | KINDS(LIMIT_READ_IOPS, LIMIT_READ_BANDWIDTH))
#define OF_WRITES TWICE(OF_ALL | KINDS(LIMIT_WRITE_IOPS, LIMIT_WRITE_BANDWIDTH))

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

void limit_claim_init(struct limit_claim *out, struct limit_set *set, bool writes, uint64_t bytes)
{
    uint64_t io_size_bytes = get(&set->io_size_bytes), operations = 1;

    if (io_size_bytes > 0 && bytes > io_size_bytes)
        operations = bytes / io_size_bytes + (bytes % io_size_bytes > 0);
    *out = (struct limit_claim){
        .set = set, .operations = operations, .bytes = bytes, .kinds = writes ? OF_WRITES : OF_READS
    };
}

static uint64_t units_of(const struct limit_claim *claim, unsigned rate)
{
    return rate % LIMIT_KINDS < LIMIT_IOPS_KINDS ? claim->operations : claim->bytes;
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

static bool take(struct limit_claim *claim, const struct rate_taker *taker)
{
    claim->taken = 0;
    for (unsigned rest = rates_of(claim); rest != 0; rest &= rest - 1) {
        unsigned rate = (unsigned)__builtin_ctz(rest);

        if (!rate_limit_take(&claim->set->rates[rate], units_of(claim, rate), taker))
            return false;
        claim->taken |= 1u << rate;
    }
    return true;
}

bool limit_claims_take(struct limit_claim *claims, unsigned count, const struct rate_taker *taker)
{
    unsigned taken = 0;

    while (taken < count && take(&claims[taken], taker))
        taken++;
    for (unsigned i = 0; taken < count && i <= taken; i++)
        give_back(&claims[i]);
    return taken == count;
}

uint64_t limit_claims_wait_ns(const struct limit_claim *claims, unsigned count,
                              const struct rate_taker *taker)
{
    uint64_t longest_ns = 0;

    for (unsigned i = 0; i < count; i++)
        for (unsigned rest = rates_of(&claims[i]); rest != 0; rest &= rest - 1) {
            unsigned rate = (unsigned)__builtin_ctz(rest);
            uint64_t wait_ns = rate_limit_wait_ns(&claims[i].set->rates[rate], taker);

            longest_ns = wait_ns > longest_ns ? wait_ns : longest_ns;
        }
    return longest_ns;
}

void limit_claims_join(const struct limit_claim *claims, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        for (unsigned rest = claims[i].kinds; rest != 0; rest &= rest - 1) {
            unsigned rate = (unsigned)__builtin_ctz(rest);

            rate_limit_join(&claims[i].set->rates[rate], units_of(&claims[i], rate));
        }
}

void limit_claims_leave(const struct limit_claim *claims, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        for (unsigned rest = claims[i].kinds; rest != 0; rest &= rest - 1) {
            unsigned rate = (unsigned)__builtin_ctz(rest);

            rate_limit_leave(&claims[i].set->rates[rate], units_of(&claims[i], rate));
        }
}
