/* Ranks after Zipf's law: rank k of N comes up in proportion to 1 / k^theta.
 *
 * Drawn by rejection-inversion (Hoermann and Derflinger, "Rejection-inversion to generate
 * variates from monotone discrete distributions", 1996): exact for any N and any theta above 0,
 * with no table, and with no sum over N at the start. */
#ifndef NBDCRYPT_ZIPF_H
#define NBDCRYPT_ZIPF_H

#include <stdint.h>

#include "bench/random.h"

#define ZIPF_THETA_DEFAULT 0.99
#define ZIPF_THETA_MAX 10.0

struct zipf {
    double theta;
    uint64_t count;
    double area_first, area_end; /* of the hat, below which points are drawn */
    double squeeze;              /* a rank this near to its point needs no further test */
};

/* `count` at least 1 and at most 2^53, `theta` above 0 and at most ZIPF_THETA_MAX. */
void zipf_init(struct zipf *zipf, uint64_t count, double theta);

/* A rank in [0, count); 0 is the most frequent one. */
uint64_t zipf_next(const struct zipf *zipf, struct random *random);

#endif
