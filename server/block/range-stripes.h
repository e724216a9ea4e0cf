/* Where exclusive claims are being held, for readers who take no lock: two loads before a read,
 * and one after it, tell whether it was alone.
 *
 * Per stripe of the disk, how many exclusive claims to its blocks were granted and how many
 * released, since the start.  Those that are released are never more than those that were
 * granted, and neither gets less: so if as many were granted at the end of a read as were
 * released at its start, none was held in between.  Stripes that share a row are taken for each
 * other: that costs a read that would not have been needed. */
#ifndef NBDCRYPT_RANGE_STRIPES_H
#define NBDCRYPT_RANGE_STRIPES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define RANGE_STRIPE_SHIFT 18u /* 256 KiB: a request is in two at most */
#define RANGE_STRIPE_ROWS 256u

struct range_stripe {
    atomic_uint_fast64_t granted, released;
};

struct range_stripes {
    struct range_stripe rows[RANGE_STRIPE_ROWS];
};

static inline struct range_stripe *range_stripe_at(struct range_stripes *stripes, uint64_t number)
{
    return &stripes->rows[number % RANGE_STRIPE_ROWS];
}

/* False: an exclusive claim is being held near the range, take a claim for reading.  True:
 * `*look` is to be given to range_stripes_were_quiet() when the data is there.  The range is not
 * empty. */
static inline bool range_stripes_look(struct range_stripes *stripes, uint64_t start_bytes,
                                      uint64_t end_bytes, uint64_t *look)
{
    uint64_t last = (end_bytes - 1) >> RANGE_STRIPE_SHIFT, released = 0, granted = 0;

    for (uint64_t i = start_bytes >> RANGE_STRIPE_SHIFT; i <= last; i++) {
        struct range_stripe *stripe = range_stripe_at(stripes, i);

        released += atomic_load_explicit(&stripe->released, memory_order_acquire);
        granted += atomic_load_explicit(&stripe->granted, memory_order_acquire);
    }
    *look = released;
    return granted == released;
}

/* False: an exclusive claim near the range was held at some time since the look; read again,
 * under a claim. */
static inline bool range_stripes_were_quiet(struct range_stripes *stripes, uint64_t start_bytes,
                                            uint64_t end_bytes, uint64_t look)
{
    uint64_t last = (end_bytes - 1) >> RANGE_STRIPE_SHIFT, granted = 0;

    for (uint64_t i = start_bytes >> RANGE_STRIPE_SHIFT; i <= last; i++)
        granted +=
            atomic_load_explicit(&range_stripe_at(stripes, i)->granted, memory_order_acquire);
    return granted == look;
}

#endif
