/* The limits of one thing, an export or a client of it: what a command takes of all of them, or of
 * none.  Any thread takes, without a lock; one at a time changes them, and a change holds for the
 * next command. */
#ifndef NBDCRYPT_LIMIT_SET_H
#define NBDCRYPT_LIMIT_SET_H

#include "server/base/rate-limit.h"
#include "server/export/limit-settings.h"

/* Each kind is there twice: the rate that holds for long, with what a burst may take beyond it, and
 * the rate of the burst. */
#define LIMIT_SET_RATES (2 * LIMIT_KINDS)

/* Zeroed at first: no limits. */
struct limit_set {
    atomic_uint changes; /* so many so far */
    atomic_uint holds;   /* a bit for each of `rates` that is a limit */
    _Atomic uint64_t io_size_bytes;
    struct rate_limit rates[LIMIT_SET_RATES];
    struct limit_terms terms; /* as they were given; for those who change them */
    /* Of a group: */
    atomic_uint weight; /* of all members */
    atomic_uint
        rightful; /* commands that wait for it, of members who have had less than their part */
};

/* What one member has had of a group.  Zeroed at first. */
struct limit_part {
    atomic_uint weight; /* beside the others; 0: it is no member */
    _Atomic uint64_t paid[LIMIT_SET_RATES];
    atomic_bool has_front; /* one of its commands waits before the others: for its part */
};

void limit_set_use(struct limit_set *set, const struct limit_terms *terms, uint64_t now_ns);
/* There is something that holds a command back, or may. */
static inline bool limit_set_holds(const struct limit_set *set)
{
    return atomic_load_explicit(&set->holds, memory_order_relaxed) != 0;
}
/* What was taken of it is not paid for yet. */
bool limit_set_owes(const struct limit_set *set, uint64_t now_ns);

/* What a command that has not waited takes of one set, which is no group, where it is known at a
 * glance: all of it.  False: nothing was taken, and it needs a claim. */
bool limit_set_take_at_once(struct limit_set *set, bool writes, uint64_t bytes, uint64_t now_ns);

/* What one command takes of one set. */
struct limit_claim {
    struct limit_set *set;
    uint64_t operations, bytes;
    unsigned kinds;          /* bits as in `holds`: those that it is about */
    unsigned taken;          /* of these, what it has */
    unsigned joined;         /* of these, for what it waits */
    bool front;              /* it is the one of its member */
    bool rightful;           /* it is one of those of `set` */
    struct limit_part *part; /* of whose command it is; NULL: the set is no group */
};

/* A command that reads or writes so many bytes; 0: none, and it is one all the same.  `paid_bytes`:
 * of a part of one, so many are in front of it, and have been paid for; 0: it is no such part. */
void limit_claim_init(struct limit_claim *out, struct limit_set *set, bool writes,
                      uint64_t paid_bytes, uint64_t bytes);

/* Of all of these, or of none. */
bool limit_claims_take(struct limit_claim *claims, unsigned count, const struct rate_taker *taker);
/* What the longest wait among them is; 0: there is none. */
uint64_t limit_claims_wait_ns(const struct limit_claim *claims, unsigned count,
                              const struct rate_taker *taker);
/* It begins to wait, for that limit which holds it back longest: one that waits for a limit of its
 * own keeps nobody else from what it can't use.  It waits no more. */
void limit_claims_join(struct limit_claim *claims, unsigned count, const struct rate_taker *taker);
void limit_claims_leave(struct limit_claim *claims, unsigned count);

#endif
