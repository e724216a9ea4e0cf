#include "bench/histogram.h"

#include <math.h>

#define OCTAVE_BITS 6 /* log2 of HISTOGRAM_BUCKETS_PER_OCTAVE */

_Static_assert(1u << OCTAVE_BITS == HISTOGRAM_BUCKETS_PER_OCTAVE, "buckets are a power of two");

/* The first 128 values have a bucket each.  Above, the 7 highest bits of a value name its bucket:
 * 64 to 127, behind those of the octaves below. */
static unsigned bucket_of(uint64_t value)
{
    unsigned shift;

    if (value < 2 * HISTOGRAM_BUCKETS_PER_OCTAVE)
        return (unsigned)value;
    shift = 63u - (unsigned)__builtin_clzll(value) - OCTAVE_BITS;
    return shift * HISTOGRAM_BUCKETS_PER_OCTAVE + (unsigned)(value >> shift);
}

/* The highest value that falls into a bucket. */
static uint64_t bucket_top(unsigned bucket)
{
    unsigned shift;
    uint64_t high_bits;

    if (bucket < 2 * HISTOGRAM_BUCKETS_PER_OCTAVE)
        return bucket;
    shift = bucket / HISTOGRAM_BUCKETS_PER_OCTAVE - 1;
    high_bits = bucket - shift * HISTOGRAM_BUCKETS_PER_OCTAVE;
    return ((high_bits + 1) << shift) - 1; /* of the last one: 2^64 - 1, by wrapping */
}

void histogram_record(struct histogram *histogram, uint64_t value)
{
    histogram->counts[bucket_of(value)]++;
    histogram->total++;
    histogram->sum += value;
    if (value > histogram->max)
        histogram->max = value;
}

void histogram_merge(struct histogram *histogram, const struct histogram *from)
{
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        histogram->counts[i] += from->counts[i];
    histogram->total += from->total;
    histogram->sum += from->sum;
    if (from->max > histogram->max)
        histogram->max = from->max;
}

uint64_t histogram_quantile(const struct histogram *histogram, double fraction)
{
    double rank = ceil(fraction * (double)histogram->total);
    uint64_t wanted = rank < 1 ? 1 : (uint64_t)rank, seen = 0;

    if (wanted > histogram->total)
        wanted = histogram->total;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->counts[i];
        if (seen >= wanted && seen > 0)
            return bucket_top(i) < histogram->max ? bucket_top(i) : histogram->max;
    }
    return 0;
}

double histogram_mean(const struct histogram *histogram)
{
    return histogram->total == 0 ? 0 : (double)histogram->sum / (double)histogram->total;
}
