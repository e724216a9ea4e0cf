/* The commands that are in flight on a connection: free -> taken -> finished -> free.  Some are
 * held (remote-syncs.h) before they are finished. */
#ifndef NBDCRYPT_REMOTE_SLOTS_H
#define NBDCRYPT_REMOTE_SLOTS_H

#include "plugins/remote/remote-command.h"

#define REMOTE_SLOTS 128u

struct remote_slots {
    struct remote_slot all[REMOTE_SLOTS];
    struct remote_slot *free;
    struct remote_slot *finished, **finished_end;
    struct remote_slot *held, **held_end; /* the one that waits for the least is the first */
    unsigned in_flight;
    uint64_t commands; /* so far: for cookies */
};

void remote_slots_init(struct remote_slots *slots);
bool remote_slots_any_free(const struct remote_slots *slots);
/* One is free.  It has a cookie of its own. */
struct remote_slot *remote_slots_take(struct remote_slots *slots, struct request *req,
                                      uint64_t sent_ms);
/* It is not in the list of the finished ones. */
void remote_slots_release(struct remote_slots *slots, struct remote_slot *slot);

/* Its reply has come: noted, in this order. */
void remote_slots_finish(struct remote_slots *slots, struct remote_slot *slot);
/* It waits for others; later the first of these, which is there, is noted. */
void remote_slots_hold(struct remote_slots *slots, struct remote_slot *slot);
void remote_slots_finish_held(struct remote_slots *slots);
/* The next one that was finished, out of their list; NULL: there is none. */
struct remote_slot *remote_slots_next_finished(struct remote_slots *slots);
/* What was finished, or is held, counts as in flight like the others. */
void remote_slots_forget_finished(struct remote_slots *slots);

/* Whether one has been in flight for `timeout_ms`, and is not answered. */
bool remote_slots_any_overdue(const struct remote_slots *slots, unsigned timeout_ms,
                              uint64_t now_ms);

#endif
