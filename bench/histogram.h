/* A histogram of durations in nanoseconds, log-linear: each power of two is cut into 64 buckets,
 * so a value that is read from it is at most 1/64 (1.6 %) above the true one, whatever its size;
 * below 128 ns it is exact.  Recording is a handful of instructions and allocates nothing.
 * The idea is Gil Tene's HdrHistogram. */
#ifndef NBDCRYPT_HISTOGRAM_H
#define NBDCRYPT_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BUCKETS_PER_OCTAVE 64u
#define HISTOGRAM_BUCKETS (59u * HISTOGRAM_BUCKETS_PER_OCTAVE) /* every 64-bit value has one */

/* All zero is an empty one. */
struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t total; /* values recorded */
    uint64_t sum;
    uint64_t max;
};

void histogram_record(struct histogram *histogram, uint64_t value);
/* Adds what is in `from`. */
void histogram_merge(struct histogram *histogram, const struct histogram *from);

/* The smallest recorded value, to the precision above, that at least `fraction` (0 to 1) of all
 * values do not exceed; 0 when nothing was recorded. */
uint64_t histogram_quantile(const struct histogram *histogram, double fraction);
double histogram_mean(const struct histogram *histogram);

#endif
