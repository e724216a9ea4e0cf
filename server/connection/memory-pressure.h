/* What a worker does when connections wait for slots or buffers: see that they do not wait for
 * ever.
 *
 * Usually what they wait for comes back, and transmission_unpark() is called then. Where the
 * kernel, a limit or --memory-max has no memory for what a connection is guaranteed, nothing need
 * ever come back. So as long as somebody waits, four times a second:
 *
 * - while the buffers are starved, clients that hold some, and took no reply or sent nothing of
 * what they write for a second, are dropped;
 * - those who wait try again: memory may be there by now;
 * - when there has been none for ten seconds, they get ENOMEM. */
#ifndef NBDCRYPT_MEMORY_PRESSURE_H
#define NBDCRYPT_MEMORY_PRESSURE_H

#include "server/loop/loop.h"

struct worker;

struct memory_pressure {
    struct worker *worker;
    struct io_event room_wanted; /* of the worker: begins */
    struct loop_timer timer;
    bool running; /* the timer */
    bool ending;
    bool told;
    unsigned starved_ticks;
};

/* It begins when somebody waits.  `worker` must outlive it. */
void memory_pressure_init(struct memory_pressure *pressure, struct worker *worker);
/* No connection is left. Worker's thread. */
void memory_pressure_stop(struct memory_pressure *pressure);

#endif
