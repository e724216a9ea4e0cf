/* Pseudo-random numbers, quick and repeatable: the same seed gives the same ones everywhere.
 * Not for secrets.  The generator is splitmix64 (Steele, Lea and Flood, "Fast splittable
 * pseudorandom number generators", 2014). */
#ifndef NBDCRYPT_RANDOM_H
#define NBDCRYPT_RANDOM_H

#include <stdint.h>

struct random {
    uint64_t state; /* any value is a seed */
};

/* A bijection that leaves no trace of its input's order. */
uint64_t random_mix(uint64_t value);

uint64_t random_next(struct random *random);
/* Below `bound`, which is not 0. */
uint64_t random_below(struct random *random, uint64_t bound);
/* In [0, 1). */
double random_unit(struct random *random);

#endif
