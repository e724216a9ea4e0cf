/* Chance, from one seed: each part of the simulation draws from a stream of its own, so that one
 * which draws more, or nothing any more, does not change what the others get. */
#ifndef NBDCRYPT_SIM_RANDOM_H
#define NBDCRYPT_SIM_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum stream {
    STREAM_OPTIONS,
    STREAM_SCHEDULE,
    STREAM_NETWORK,
    STREAM_DISK,
    STREAM_WORK,
    STREAM_OPERATOR,
    STREAM_ENTROPY,   /* what the product gets from getrandom(2) */
    STREAM_LIBRARIES, /* and what libraries get */
    STREAM_RARE,      /* what was added later: others draw what they drew before */
    STREAM_COUNT,
};

void random_seed(uint64_t seed);
uint64_t random_u64(enum stream stream);
/* 0 to bound - 1; bound is at least 1. */
uint64_t random_below(enum stream stream, uint64_t bound);
bool random_chance(enum stream stream, unsigned per_mille);
/* From `least` to `most`, small ones as likely as large ones: the logarithm is uniform. */
uint64_t random_skewed(enum stream stream, uint64_t least, uint64_t most);
void random_bytes(enum stream stream, void *out, size_t length_bytes);
/* A fixed scrambling of `value` (the finalizer of SplitMix64). */
uint64_t random_mix(uint64_t value);

#endif
