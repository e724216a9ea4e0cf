/* How long a connection is waited for when the server goes: as long as storage is at work on what
 * it asked for (--shutdown-timeout ends that), and as long as the client takes its answers and
 * sends the rest of a request that it has begun.  One that was told that nothing follows, and has
 * taken it, may stay for an instant only: it does not have to close.
 *
 * Looked at every DRAIN_TICK_MS, on the worker's thread. */
#ifndef NBDCRYPT_DRAIN_H
#define NBDCRYPT_DRAIN_H

#include <stdbool.h>
#include <stdint.h>

struct transmission;

#define DRAIN_TICK_MS 100u

enum drain_verdict {
    DRAIN_WAIT,
    DRAIN_DONE,      /* it has all that is due */
    DRAIN_NOT_TAKEN, /* it does not take what is due */
    DRAIN_TOO_SLOW,  /* it does, but so slowly that the others would wait for it */
    DRAIN_NOT_SENT,  /* it does not send the rest of its request */
};

/* Zeroed at first. */
struct drain_state {
    unsigned ticks;       /* since the first look */
    unsigned still_ticks; /* in which the client did nothing */
    unsigned last_ticks;  /* since it was told that nothing follows */
    uint64_t sends, receives;
    uint32_t unsent_bytes;
};

/* `max_ms`: for a client that is slow; 0: there is no such limit. */
enum drain_verdict drain_look(struct drain_state *state, const struct transmission *t,
                              unsigned max_ms);
/* "did not ..."; NULL: there is nothing to be said. */
const char *drain_sentence(enum drain_verdict verdict);

#endif
