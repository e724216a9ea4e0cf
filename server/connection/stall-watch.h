/* Clients that stop in the middle of a request, or take no replies, for --stall-timeout: they are
 * dropped.
 *
 * They hold buffers, slots and a place meanwhile.  A client between two requests may stay for ever;
 * the kernel asks whether its machine is still there (tcp-keepalive.h).  One timer of the worker
 * looks at all of its connections, eight times in that time, and requests cost nothing. */
#ifndef NBDCRYPT_STALL_WATCH_H
#define NBDCRYPT_STALL_WATCH_H

#include <stdbool.h>

#include "server/loop/loop.h"

struct worker;

struct stall_watch {
    struct worker *worker;
    struct loop_timer timer;
    unsigned timeout_ms; /* 0: nobody is dropped */
    bool running, ending;
};

void stall_watch_init(struct stall_watch *watch, struct worker *worker, unsigned timeout_ms);
/* There is a connection.  Worker's thread. */
void stall_watch_begin(struct stall_watch *watch);
/* No connection is left. */
void stall_watch_stop(struct stall_watch *watch);

#endif
