#include "tests/sim/random.h"

#include <string.h>

static uint64_t states[STREAM_COUNT];

uint64_t random_mix(uint64_t value)
{
    value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
    return value ^ value >> 31;
}

void random_seed(uint64_t seed)
{
    for (unsigned i = 0; i < STREAM_COUNT; i++)
        states[i] = random_mix(random_mix(seed + 1) + i * UINT64_C(0x632be59bd9b4e019));
}

uint64_t random_u64(enum stream stream)
{
    return random_mix(states[stream] += UINT64_C(0x9e3779b97f4a7c15));
}

uint64_t random_below(enum stream stream, uint64_t bound)
{
    return random_u64(stream) % bound;
}

bool random_chance(enum stream stream, unsigned per_mille)
{
    return per_mille > 0 && random_below(stream, 1000) < per_mille;
}

uint64_t random_skewed(enum stream stream, uint64_t least, uint64_t most)
{
    uint64_t range = most - least + 1;
    unsigned bits = 64u - (unsigned)__builtin_clzll(range);
    uint64_t offset = random_u64(stream) >> (64 - 1 - random_below(stream, bits));

    return least + offset % range;
}

void random_bytes(enum stream stream, void *out, size_t length_bytes)
{
    uint8_t *at = out;

    while (length_bytes > 0) {
        uint64_t word = random_u64(stream);
        size_t count = length_bytes < sizeof(word) ? length_bytes : sizeof(word);

        memcpy(at, &word, count);
        at += count;
        length_bytes -= count;
    }
}
