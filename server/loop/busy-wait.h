/* Whether a loop that has nothing to do should look a little longer before it sleeps.
 *
 * A client with one request in flight answers within microseconds; to be put to sleep and
 * woken takes longer than that.  But who looks keeps a CPU from others, perhaps from the very
 * client that is waited for.  So it is tried only while it pays:
 *
 *               several sleeps in a row were shorter than the limit
 *     SLEEPING -----------------------------------------------------> LOOKING
 *         ^                                                              |
 *         +--------------------------------------------------------------+
 *         |     several looks in a row found nothing, or what was done in all that time was not
 *         |     more than with the sleeps before; the next try then waits longer
 *         `--------------------------------------------------------------'
 *               now and then, to see how much is done with sleeps by now
 *
 * Pure bookkeeping: no clock, no system call.  Times are of a clock that only goes forward, never
 * 0. */
#ifndef NBDCRYPT_BUSY_WAIT_H
#define NBDCRYPT_BUSY_WAIT_H

#include <stdbool.h>
#include <stdint.h>

/* Where a loop stands at the end of a wait. */
struct busy_wait_point {
    uint64_t ns;    /* 0: nowhere */
    uint64_t sends; /* that were begun so far */
};

struct busy_wait {
    uint32_t limit_ns; /* how long one look lasts at most; 0: never look */
    bool looking;
    uint32_t streak;   /* SLEEPING: short sleeps in a row; LOOKING: vain looks in a row */
    uint32_t found;    /* LOOKING: looks that found something, since it began */
    uint32_t patience; /* SLEEPING: sleeps to go before short ones count */
    uint32_t next_patience;
    struct busy_wait_point began; /* of the streak, or of LOOKING */
    struct busy_wait_point last;  /* SLEEPING: the end of the last sleep */
    uint64_t slept_ns;            /* for each send, before LOOKING */
};

void busy_wait_init(struct busy_wait *wait, uint32_t limit_ns);

/* How long to look now; 0: sleep at once, and measure the sleep when limit_ns is not 0. */
static inline uint32_t busy_wait_ns(const struct busy_wait *wait)
{
    return wait->looking ? wait->limit_ns : 0;
}

/* A look has ended; `found`: with something to do. */
void busy_wait_looked(struct busy_wait *wait, bool found, struct busy_wait_point end);
/* A sleep that no look came before has ended. */
void busy_wait_slept(struct busy_wait *wait, uint64_t start_ns, struct busy_wait_point end);

#endif
