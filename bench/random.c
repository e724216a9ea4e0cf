#include "bench/random.h"

#define GOLDEN 0x9e3779b97f4a7c15u /* 2^64 divided by the golden ratio, odd */

uint64_t random_mix(uint64_t value)
{
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

uint64_t random_next(struct random *random)
{
    random->state += GOLDEN;
    return random_mix(random->state);
}

uint64_t random_below(struct random *random, uint64_t bound)
{
    /* The high half of the product: its bias is bound / 2^64, which no measurement can see. */
    return (uint64_t)(((unsigned __int128)random_next(random) * bound) >> 64);
}

double random_unit(struct random *random)
{
    return (double)(random_next(random) >> 11) * 0x1p-53;
}
