/* Whether a loop that has nothing to do should look a little longer before it sleeps.
 *
 * A client with one request in flight answers within microseconds; to be put to sleep and
 * woken takes longer than that.  But who looks keeps a CPU from others, perhaps from the very
 * client that is waited for.  So it is tried only while it succeeds:
 *
 *               several sleeps in a row were shorter than the limit
 *     SLEEPING -----------------------------------------------------> LOOKING
 *         ^                                                              |
 *         `--------------------------------------------------------------'
 *               several looks in a row found nothing; the next try then waits longer
 *
 * Pure bookkeeping: no clock, no system call. */
#ifndef NBDCRYPT_BUSY_WAIT_H
#define NBDCRYPT_BUSY_WAIT_H

#include <stdbool.h>
#include <stdint.h>

struct busy_wait {
    uint32_t limit_ns;     /* how long one look lasts at most; 0: never look */
    bool looking;
    uint32_t streak;       /* SLEEPING: short sleeps in a row; LOOKING: vain looks in a row */
    uint32_t found;        /* LOOKING: looks that found something, since it began */
    uint32_t patience;     /* SLEEPING: sleeps to go before short ones count */
    uint32_t next_patience;
};

void busy_wait_init(struct busy_wait *wait, uint32_t limit_ns);

/* How long to look now; 0: sleep at once, and measure the sleep when limit_ns is not 0. */
static inline uint32_t busy_wait_ns(const struct busy_wait *wait)
{
    return wait->looking ? wait->limit_ns : 0;
}

/* A look has ended; `found`: with something to do. */
void busy_wait_looked(struct busy_wait *wait, bool found);
/* A sleep that no look came before has ended. */
void busy_wait_slept(struct busy_wait *wait, uint64_t duration_ns);

#endif
