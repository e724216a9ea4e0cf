/* What the simulation knows of its loops besides server/loop.h. */
#ifndef NBDCRYPT_SIM_LOOP_HOSTS_H
#define NBDCRYPT_SIM_LOOP_HOSTS_H

#include <stdint.h>

struct loop_timing {
    uint64_t completion_max_ns; /* from effect to completion */
    uint64_t disk_max_ns;       /* from submission to effect */
    uint32_t read_split_bytes;  /* a short read ends at a multiple of that */
    uint32_t split_bytes;       /* a write may happen in two parts, cut at a multiple of that */
    uint32_t unit_bytes;        /* and the second part never, cut at a multiple of that */
};

extern struct loop_timing loop_timing;

struct loop;

/* Timers that are running on it never fire. */
void loop_forget_timers(struct loop *loop);
unsigned loops_count(unsigned host);
/* Since when none of them all had anything to do but to wait for sockets and timers; now: one has.
 */
uint64_t loops_idle_since_ns(void);
/* What is in flight ends, without an event; some of it has happened.  Before its files are closed.
 */
void loops_kill(unsigned host);

#endif
