#include "server/base/rate-limit.h"

#define TICKS_PER_SECOND (UINT64_C(1000000000) << RATE_LIMIT_TICKS_SHIFT)
#define TICKS_MAX (UINT64_C(1) << 60) /* two years: nobody has to pay for longer */
#define SLACK_TICKS (TICKS_PER_SECOND / 1000 * RATE_LIMIT_SLACK_MS)
#define LOAN_UNITS 8u
#define LOAN_TICKS \
    (TICKS_PER_SECOND / 10) /* what a member has taken beyond his part is forgotten */
/* Workers read the clock once a batch, so one may be so much behind another. */
#define CLOCKS_APART_TICKS TICKS_PER_SECOND

#define get(field) atomic_load_explicit(field, memory_order_relaxed)
#define put(field, value) atomic_store_explicit(field, value, memory_order_relaxed)

static uint64_t ticks_of(uint64_t ns)
{
    return ns <= UINT64_MAX >> RATE_LIMIT_TICKS_SHIFT ? ns << RATE_LIMIT_TICKS_SHIFT : UINT64_MAX;
}

/* To the next whole one. */
static uint64_t ns_of(uint64_t ticks)
{
    return (ticks >> RATE_LIMIT_TICKS_SHIFT) + (ticks % (1u << RATE_LIMIT_TICKS_SHIFT) > 0);
}

/* At most the end of time. */
static uint64_t sum(uint64_t a, uint64_t b)
{
    uint64_t result;

    return __builtin_add_overflow(a, b, &result) ? UINT64_MAX : result;
}

static uint64_t clamp(unsigned __int128 ticks)
{
    return ticks < TICKS_MAX ? (uint64_t)ticks : TICKS_MAX;
}

/* Rounded to the nearest, so that many small ones are as much as one large one. */
static uint64_t cost(uint64_t interval, uint64_t units)
{
    unsigned __int128 product = (unsigned __int128)interval * units;

    return clamp((product + (UINT64_C(1) << (RATE_LIMIT_INTERVAL_SHIFT - 1))) >>
                 RATE_LIMIT_INTERVAL_SHIFT);
}

static uint64_t interval_of(uint64_t rate)
{
    unsigned __int128 second = (unsigned __int128)TICKS_PER_SECOND << RATE_LIMIT_INTERVAL_SHIFT;

    return rate == 0 ? 0 : (uint64_t)(second / (rate < RATE_LIMIT_MAX ? rate : RATE_LIMIT_MAX));
}

/* What the clock can't have seen has not been: it has gone back. */
static uint64_t possible(const struct rate_limit *limit, uint64_t paid, uint64_t now)
{
    uint64_t farthest = get(&limit->farthest);

    return paid > now && paid - now > sum(farthest, CLOCKS_APART_TICKS) ? now + farthest : paid;
}

/* Ticks that he has to wait. */
static uint64_t wait_of(const struct rate_limit *limit, uint64_t interval, uint64_t paid,
                        const struct rate_taker *taker)
{
    uint64_t waiting = taker->waited ? 0 : get(&limit->waiting);
    uint64_t from = waiting == 0 ? paid : sum(paid, cost(interval, waiting));
    uint64_t tolerance = get(&limit->tolerance);
    uint64_t until = sum(sum(ticks_of(taker->now_ns), tolerance), ticks_of(taker->overdue_ns));

    return from > until ? from - until : 0;
}

/* Before it is so far ahead, so that nobody takes it for the clock. */
static inline void note_farthest(struct rate_limit *limit, uint64_t now, uint64_t paid)
{
    uint64_t known = get(&limit->farthest);

    while (paid - now > known &&
           !atomic_compare_exchange_weak_explicit(&limit->farthest, &known, paid - now,
                                                  memory_order_relaxed, memory_order_relaxed))
        continue;
}

static bool exchange(struct rate_limit *limit, uint64_t *known, uint64_t paid)
{
    return atomic_compare_exchange_weak_explicit(&limit->paid, known, paid, memory_order_relaxed,
                                                 memory_order_relaxed);
}

/* What is owed, as all who take see it. */
static uint64_t look_at_paid(struct rate_limit *limit, uint64_t now)
{
    uint64_t known = get(&limit->paid), paid = possible(limit, known, now);

    while (paid != known && !exchange(limit, &known, paid))
        paid = possible(limit, known, now);
    return paid;
}

bool rate_limit_take(struct rate_limit *limit, uint64_t units, const struct rate_taker *taker)
{
    uint64_t interval = get(&limit->interval), now = ticks_of(taker->now_ns);
    uint64_t paid = look_at_paid(limit, now), next;

    if (interval == 0)
        return true;
    do {
        if (wait_of(limit, interval, paid, taker) > 0)
            return false;
        next = sum(paid > now ? paid : now, cost(interval, units));
        note_farthest(limit, now, next);
    } while (!exchange(limit, &paid, next));
    note_farthest(limit, now, next); /* a change of the rate may have been in between */
    return true;
}

void rate_limit_give_back(struct rate_limit *limit, uint64_t units)
{
    uint64_t interval = get(&limit->interval);

    if (interval != 0)
        atomic_fetch_sub_explicit(&limit->paid, cost(interval, units), memory_order_relaxed);
}

uint64_t rate_limit_wait_ns(const struct rate_limit *limit, const struct rate_taker *taker)
{
    uint64_t interval = get(&limit->interval), now = ticks_of(taker->now_ns);

    if (interval == 0)
        return 0;
    return ns_of(wait_of(limit, interval, possible(limit, get(&limit->paid), now), taker));
}

/* One that is further ahead was counted before the clock went back. */
uint64_t rate_limit_right_ns(const _Atomic uint64_t *own_paid, uint64_t now_ns)
{
    uint64_t from = sum(ticks_of(now_ns), SLACK_TICKS), paid = get(own_paid);

    return paid > from && paid - from < TICKS_MAX ? ns_of(paid - from) : 0;
}

void rate_limit_count_part(const struct rate_limit *limit, _Atomic uint64_t *own_paid,
                           struct rate_part part, uint64_t units, uint64_t now_ns)
{
    uint64_t now = ticks_of(now_ns), known = get(own_paid), next;
    uint64_t whole = cost(get(&limit->interval), units);
    uint64_t price = clamp((unsigned __int128)whole * part.all / (part.own > 0 ? part.own : 1));
    uint64_t loan = clamp((unsigned __int128)price * LOAN_UNITS);
    uint64_t since = now > price ? now - price : 0; /* one late command is not lost */
    uint64_t most = sum(now, loan > LOAN_TICKS ? loan : LOAN_TICKS);

    do {
        next = sum(known > since ? known : since, price);
        next = next < most ? next : most;
    } while (!atomic_compare_exchange_weak_explicit(own_paid, &known, next, memory_order_relaxed,
                                                    memory_order_relaxed));
}

bool rate_limit_owes(const struct rate_limit *limit, uint64_t now_ns)
{
    uint64_t now = ticks_of(now_ns);

    return get(&limit->interval) != 0 && possible(limit, get(&limit->paid), now) > now;
}

/* The same work at another rate; with no limit on one side there is nothing to pay for. */
static uint64_t at_rate(uint64_t ticks, uint64_t before, uint64_t after)
{
    return before == 0 || after == 0 ? 0 : clamp((unsigned __int128)ticks * after / before);
}

void rate_limit_set(struct rate_limit *limit, uint64_t rate, uint64_t burst, uint64_t now_ns)
{
    uint64_t before = get(&limit->interval), after = interval_of(rate), now = ticks_of(now_ns);
    uint64_t known = get(&limit->paid), paid, next;

    if (after != before) {
        put(&limit->farthest, TICKS_MAX); /* until it is known again */
        put(&limit->interval, after);
        do {
            paid = known > now ? known - now : 0;
            next = sum(now, at_rate(paid, before, after));
        } while (!exchange(limit, &known, next));
        put(&limit->farthest, next - now);
    }
    put(&limit->tolerance, sum(cost(after, burst), SLACK_TICKS));
}
