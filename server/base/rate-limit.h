/* So many units a second, and not more: the generic cell rate algorithm (ITU-T I.371, annex A).
 *
 * One number is all that is kept of what went before: the moment at which all that was taken is
 * paid for.  Who comes when that is no further ahead than the tolerance takes what he wants,
 * however much it is, and those after him wait for it.  So over any time what is taken is at most
 * the rate times that time, the burst, what the rate gives in RATE_LIMIT_SLACK_MS, and one request.
 * By that slack nobody loses anything who is woken a little late.
 *
 * Those who wait have an order, by what is wanted before them: `waiting`.  Who comes new waits
 * behind them; who waited takes his part at the moment that he was told, or a little later, and
 * the longer he was overtaken, the further ahead of what is paid for he may go.  So nobody starves,
 * and no thread owns a limit.
 *
 * Any thread takes, without a lock; one thread at a time changes.  Times are CLOCK_MONOTONIC; one
 * that has gone back makes nobody wait longer than once for what was taken last. */
#ifndef NBDCRYPT_RATE_LIMIT_H
#define NBDCRYPT_RATE_LIMIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define RATE_LIMIT_MAX (UINT64_C(1) << 50) /* units a second */
#define RATE_LIMIT_SLACK_MS 20u
#define RATE_LIMIT_TICKS_SHIFT 4 /* times within are in ticks, of which a nanosecond has 16 */
#define RATE_LIMIT_INTERVAL_SHIFT 28

struct rate_limit {
    _Atomic uint64_t interval;  /* of one unit, shifted; 0: there is no limit */
    _Atomic uint64_t tolerance; /* how far ahead of now what is paid for may be */
    _Atomic uint64_t paid;      /* the moment at which all is paid for */
    _Atomic uint64_t farthest;  /* that it ever was ahead of now, since the last change */
    _Atomic uint64_t waiting;   /* units that are waited for */
};

/* Who takes. */
struct rate_taker {
    uint64_t now_ns;
    bool waited;         /* he is one of those who wait; else he comes behind them */
    uint64_t overdue_ns; /* since the moment that he was told */
};

/* From now on `rate` units a second, 0: as many as there are, and `burst` more at once when nothing
 * was taken for long.  What was taken before is paid for at the new rate. */
void rate_limit_set(struct rate_limit *limit, uint64_t rate, uint64_t burst, uint64_t now_ns);

/* Whether he has them now. */
bool rate_limit_take(struct rate_limit *limit, uint64_t units, const struct rate_taker *taker);
/* The same by one who has not waited, where it is known at a glance: it is asked for each command.
 * False: nothing was taken, and the other one has to be asked. */
static inline bool rate_limit_take_at_once(struct rate_limit *limit, uint64_t units,
                                           uint64_t now_ns)
{
    unsigned __int128 price =
        (unsigned __int128)atomic_load_explicit(&limit->interval, memory_order_relaxed) * units +
        (UINT64_C(1) << (RATE_LIMIT_INTERVAL_SHIFT - 1));
    uint64_t now = now_ns << RATE_LIMIT_TICKS_SHIFT;
    uint64_t paid = atomic_load_explicit(&limit->paid, memory_order_relaxed);
    uint64_t from = paid > now ? paid : now;
    uint64_t next = from + (uint64_t)(price >> RATE_LIMIT_INTERVAL_SHIFT);

    return atomic_load_explicit(&limit->waiting, memory_order_relaxed) == 0 && price >> 61 == 0 &&
           next >= from &&
           from - now <= atomic_load_explicit(&limit->tolerance, memory_order_relaxed) &&
           next - now <= atomic_load_explicit(&limit->farthest, memory_order_relaxed) &&
           atomic_compare_exchange_strong_explicit(&limit->paid, &paid, next, memory_order_relaxed,
                                                   memory_order_relaxed);
}
/* They were not used. */
void rate_limit_give_back(struct rate_limit *limit, uint64_t units);
/* How long he has to wait; 0: he need not. */
uint64_t rate_limit_wait_ns(const struct rate_limit *limit, const struct rate_taker *taker);

/* Of a limit that several have together: his weight, and that of all of them. */
struct rate_part {
    unsigned own, all;
};

/* To his part of it each has a right: he may go before those who have taken more than theirs.  It
 * costs him nothing later what he takes beyond it while nobody else wants it.  The moment at which
 * his part is paid for is all that is kept of him; 0 at first.  How long it is until he has that
 * right; 0: he has it. */
uint64_t rate_limit_right_ns(const _Atomic uint64_t *own_paid, uint64_t now_ns);
void rate_limit_count_part(const struct rate_limit *limit, _Atomic uint64_t *own_paid,
                           struct rate_part part, uint64_t units, uint64_t now_ns);

/* What was taken is not paid for yet. */
bool rate_limit_owes(const struct rate_limit *limit, uint64_t now_ns);

/* He begins to wait, and he does not any more: for that many, whatever has become of the limit. */
static inline void rate_limit_join(struct rate_limit *limit, uint64_t units)
{
    atomic_fetch_add_explicit(&limit->waiting, units, memory_order_relaxed);
}

static inline void rate_limit_leave(struct rate_limit *limit, uint64_t units)
{
    atomic_fetch_sub_explicit(&limit->waiting, units, memory_order_relaxed);
}

#endif
