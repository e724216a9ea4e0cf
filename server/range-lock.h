/* Byte-range locks of one export, shared by its pipelines on all workers.
 *
 * Aligned writes share a range with each other (NBD leaves the order of overlapping writes
 * open); a read-modify-write has its blocks to itself.  Claims are granted in the order in
 * which they came, as far as they overlap, so nobody starves.  One mutex, held for a few
 * list steps; while no exclusive claim exists, a shared claim is one append. */
#ifndef NBDCRYPT_RANGE_LOCK_H
#define NBDCRYPT_RANGE_LOCK_H

#include "server/loop.h"

struct range_lock;

struct range_claim {
    uint64_t start_bytes;
    uint64_t end_bytes; /* exclusive */
    bool exclusive;
    bool granted;
    struct loop *loop;           /* where `granted_message` is delivered */
    struct loop_message message; /* event.fn set by the claimer */
    struct range_claim *next, *previous;
};

NODISCARD int range_lock_create(struct range_lock **out, struct error *err);
void range_lock_destroy(struct range_lock *lock);

/* True: granted at once.  False: message.event.fn will be called on claim->loop. */
bool range_lock_claim(struct range_lock *lock, struct range_claim *claim);
void range_lock_release(struct range_lock *lock, struct range_claim *claim);

#endif
