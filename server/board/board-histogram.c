#include "server/board/board.h"

/* What is in a bucket is less than this; of the last one there is no bound. */
static uint64_t bucket_end_us(unsigned bucket)
{
    uint64_t octave_us = UINT64_C(1) << bucket / BOARD_BUCKETS_PER_OCTAVE;
    unsigned quarter = bucket % BOARD_BUCKETS_PER_OCTAVE + 1;

    return octave_us +
           (octave_us * quarter + BOARD_BUCKETS_PER_OCTAVE - 1) / BOARD_BUCKETS_PER_OCTAVE;
}

uint64_t board_bucket_us(unsigned index)
{
    return bucket_end_us(index) - 1;
}

uint64_t board_histogram_count(const struct board_histogram *histogram)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < BOARD_BUCKETS; i++)
        count += histogram->counts[i];
    return count;
}

uint64_t board_histogram_below(const struct board_histogram *histogram, uint64_t limit_us)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < BOARD_BUCKETS - 1 && bucket_end_us(i) <= limit_us; i++)
        count += histogram->counts[i];
    return count;
}

uint64_t board_histogram_quantile_us(const struct board_histogram *histogram, double fraction)
{
    uint64_t total = board_histogram_count(histogram), seen = 0;
    double rank = fraction * (double)total;
    uint64_t wanted = (uint64_t)rank + ((double)(uint64_t)rank < rank);

    wanted = wanted < 1 ? 1 : wanted > total ? total : wanted;
    for (unsigned i = 0; i < BOARD_BUCKETS && total > 0; i++) {
        seen += histogram->counts[i];
        if (seen >= wanted)
            return board_bucket_us(i);
    }
    return 0;
}

void board_histogram_add(struct board_histogram *histogram, const struct board_histogram *from)
{
    histogram->sum_ns += from->sum_ns;
    for (unsigned i = 0; i < BOARD_BUCKETS; i++)
        histogram->counts[i] += from->counts[i];
}
