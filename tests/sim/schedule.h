/* One thread of virtual time.  What would be a thread is a fiber, which runs until it blocks; when
 * no fiber can run, time moves on to the next event.  Which of several goes first is drawn.
 *
 * A host is a process of the simulated world, with fibers of its own, which end with it. */
#ifndef NBDCRYPT_SIM_SCHEDULE_H
#define NBDCRYPT_SIM_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)
#define HOST_WORLD 0u /* clients and the operator: they are never killed */

struct fiber;

extern uint64_t sim_now_ns; /* since the start of the simulation */

struct fiber *fiber_start(const char *name, unsigned host, void *(*fn)(void *), void *context);
/* The caller; NULL in an event. */
struct fiber *fiber_self(void);
unsigned fiber_host(void); /* of the caller */
unsigned fiber_number(const struct fiber *fiber);
/* Its result, once; it must not be of a host that was killed meanwhile. */
void *fiber_join(struct fiber *fiber);
/* Nobody will join it. */
void fiber_detach(struct fiber *fiber);

/* Until another one wakes who waits for `object`. */
void fiber_wait(const void *object);
/* False: the time came first. */
bool fiber_wait_until(const void *object, uint64_t until_ns);
void fiber_wake_one(const void *object); /* a drawn one */
void fiber_wake_all(const void *object);
void fiber_yield(void);
void fiber_sleep(uint64_t ns);

/* `fn` is called at that time, on no fiber; it must not block. */
void event_at(uint64_t when_ns, void (*fn)(void *context), void *context);
void event_after(uint64_t delay_ns, void (*fn)(void *context), void *context);

unsigned host_create(void);
bool host_is_alive(unsigned host);
/* Its fibers are gone, in whatever they were at; the caller is of another host. */
void host_kill(unsigned host);
/* Fibers that have not ended. */
unsigned host_fiber_count(unsigned host);
/* Does the host of that fiber still exist? */
bool fiber_number_is_alive(unsigned number);

/* Somebody is served: who waits longer than that for the next one has been forgotten. */
void schedule_progress(void);
void schedule_patience(uint64_t ns); /* 0: for ever */

/* Runs until `last` has ended. */
void schedule_run(struct fiber *last);

#endif
