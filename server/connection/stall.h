/* Does a client stall: did it stop in the middle of a request, or take no replies, for STALL_TICKS
 * looks?  Looked at on the worker's thread, in regular intervals (stall-watch.h). */
#ifndef NBDCRYPT_STALL_H
#define NBDCRYPT_STALL_H

#include <stdint.h>

struct transmission;

#define STALL_TICKS 8u /* without progress may go by */

/* What the last look saw.  Zeroed at first. */
struct stall_state {
    uint64_t sends, receives;
    uint32_t unsent_bytes;                   /* when sending last went on */
    unsigned sending_ticks, receiving_ticks; /* without progress */
};

/* What it did, "took no replies", when it has stalled for longer than that; NULL otherwise. */
const char *stall_look(struct stall_state *state, const struct transmission *t);

#endif
