/* Clients that stop in the middle of a request, or take no replies, for --stall-timeout: they are
 * dropped.
 *
 * They hold buffers, slots and a place meanwhile.  A client between two requests may stay for ever;
 * the kernel asks whether its machine is still there (tcp-keepalive.h).  One timer of the worker
 * looks at all of its connections, eight times in that time, and requests cost nothing. */
#ifndef NBDCRYPT_STALL_WATCH_H
#define NBDCRYPT_STALL_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "server/loop/loop.h"

struct worker;

/* Of a worker; zeroed but for the timeout. */
struct stall_watch {
    struct loop_timer timer;
    unsigned timeout_ms; /* 0: nobody is dropped */
    bool running, ending;
};

/* Of a connection: what the last look saw.  Zeroed at first. */
struct stall_state {
    uint64_t sends, receives;
    uint32_t unsent_bytes;                   /* when sending last went on */
    unsigned sending_ticks, receiving_ticks; /* without progress */
};

/* A connection has reached transmission. Worker's thread. */
void stall_watch_begin(struct worker *worker);
/* No connection is left. */
void stall_watch_stop(struct worker *worker);

#endif
