/* Byte-range locks of one export, shared by its pipelines on all workers.
 *
 * A claim is shared, but for its first and its last block, of which each may be exclusive: a
 * read-modify-write is alone on the blocks that it reads and writes back, and writes those
 * between them as anybody does.  Aligned writes share a range with each other (NBD leaves the
 * order of overlapping writes open).  Claims are granted in the order in which they came, as far
 * as they are in each other's way, so nobody starves.
 *
 * One mutex.  While no exclusive claim exists, a claim is one append to a list.  Otherwise a
 * claim and its release take O(log n) steps each, whatever n claims are there and however they
 * overlap, and those that merely wait cost nothing:
 *
 *     ranges   how many shared ranges lie over a block                               range-cover.h
 *     hot      the blocks with exclusive claims, each with its queue, and how many     range-hot.h
 *              shared ranges have to leave before the first of the queue may go
 *     parked   a shared range waits behind one exclusive claim in it; when that one has left, it
 *              looks for another; when it has done so some times (RANGE_LOOKS_MAX), it waits until
 *              all exclusive claims that came before it have left, wherever they are
 *
 * Reads need no claim: they look whether an exclusive one was held near them (range-stripes.h),
 * and take one only if so. */
#ifndef NBDCRYPT_RANGE_LOCK_H
#define NBDCRYPT_RANGE_LOCK_H

#include "server/loop/loop.h"
#include "server/block/range-cover.h"
#include "server/block/range-hot.h"
#include "server/block/range-stripes.h"

struct range_lock;

/* So many exclusive claims in one range, with others behind them, are rare but where somebody
 * makes them. */
#define RANGE_LOOKS_MAX 8u

/* The claimer sets what is above the empty line; the rest is the lock's and need not be cleared. */
struct range_claim {
    uint64_t start_bytes;
    uint64_t end_bytes;          /* exclusive */
    uint32_t first_alone_bytes;  /* the first block, if it is exclusive: its length; 0: it is not */
    uint32_t last_alone_bytes;   /* likewise the last one; 0 where it is the first one, too */
    struct loop *loop;           /* where `message` is delivered */
    struct loop_message message; /* event.fn set by the claimer */

    uint64_t number;  /* in the order of arrival */
    unsigned pending; /* parts that wait: the shared range, the edges */
    unsigned looks;   /* for another exclusive claim that is in the way */
    bool listed;      /* in the list of those that came while there was no exclusive claim */
    struct range_claim *next, *previous; /* of that list; or behind the edge where it is parked */
    struct range_cover cover;            /* the shared range, if there is one */
    struct treap_node patient;           /* while it waits for all exclusive claims before it */
    struct range_edge edges[2];
};

NODISCARD int range_lock_create(struct range_lock **out, struct error *err);
void range_lock_destroy(struct range_lock *lock);

/* True: granted at once.  False: message.event.fn will be called on claim->loop. */
bool range_lock_claim(struct range_lock *lock, struct range_claim *claim);
void range_lock_release(struct range_lock *lock, struct range_claim *claim);

/* For readers: it is kept up to date by the lock. */
struct range_stripes *range_lock_stripes(struct range_lock *lock);

#endif
