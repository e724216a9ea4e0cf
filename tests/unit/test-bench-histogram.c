/* The load generator's histogram, against exact values. */
#include "bench/histogram.h"

#include "bench/random.h"
#include "tests/support/check.h"

static struct histogram *empty(void)
{
    static struct histogram histogram;

    histogram = (struct histogram){ .total = 0 };
    return &histogram;
}

/* What is read may be above the true value by 1/64, and never below. */
static void expect_near(uint64_t got, uint64_t exact)
{
    EXPECT(got >= exact);
    EXPECT(got - exact <= exact / HISTOGRAM_BUCKETS_PER_OCTAVE);
}

static void nothing_recorded(void)
{
    struct histogram *histogram = empty();

    EXPECT(histogram_quantile(histogram, 0.5) == 0);
    EXPECT(histogram_mean(histogram) == 0);
}

static void small_values_are_exact(void)
{
    struct histogram *histogram = empty();

    for (uint64_t value = 1; value <= 100; value++)
        histogram_record(histogram, value);
    EXPECT(histogram_quantile(histogram, 0.5) == 50);
    EXPECT(histogram_quantile(histogram, 0.99) == 99);
    EXPECT(histogram_quantile(histogram, 0.999) == 100);
    EXPECT(histogram_quantile(histogram, 1) == 100);
    EXPECT(histogram_quantile(histogram, 0) == 1);
    EXPECT(histogram->max == 100);
    EXPECT(histogram_mean(histogram) == 50.5);
}

/* One value in it is every quantile of it, at both sides of each power of two. */
static void every_octave(void)
{
    for (unsigned shift = 0; shift < 64; shift++) {
        for (unsigned distance = 0; distance <= 2; distance++) {
            uint64_t value = (1ull << shift) - 1 + distance;
            struct histogram *histogram = empty();

            histogram_record(histogram, value);
            histogram_record(histogram, value);
            EXPECT(histogram_quantile(histogram, 0.5) == value); /* the largest is known exactly */
            histogram_record(histogram, UINT64_MAX);
            expect_near(histogram_quantile(histogram, 0.5), value);
            EXPECT(histogram->max == UINT64_MAX);
        }
    }
}

static int compare_values(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

    return left < right ? -1 : left > right;
}

static void quantiles_of_random_values(void)
{
    enum { COUNT = 100000 };
    static uint64_t values[COUNT];
    static const double fractions[] = { 0.01, 0.5, 0.9, 0.99, 0.999, 0.9999 };
    struct histogram *histogram = empty();
    struct random random = { .state = 7 };

    for (unsigned i = 0; i < COUNT; i++) {
        values[i] = random_next(&random) >> random_below(&random, 60);
        histogram_record(histogram, values[i]);
    }
    qsort(values, COUNT, sizeof values[0], compare_values);
    for (unsigned i = 0; i < sizeof fractions / sizeof fractions[0]; i++) {
        unsigned rank = (unsigned)(fractions[i] * COUNT + 0.5);

        expect_near(histogram_quantile(histogram, fractions[i]), values[rank - 1]);
    }
    EXPECT(histogram->max == values[COUNT - 1]);
}

static void merging_adds_up(void)
{
    static struct histogram sum, other;
    struct histogram *all = empty();

    for (uint64_t value = 0; value < 20000; value += 7) {
        histogram_record(value % 2 == 0 ? &sum : &other, value);
        histogram_record(all, value);
    }
    histogram_merge(&sum, &other);
    EXPECT(memcmp(&sum, all, sizeof sum) == 0);
}

static const struct check checks[] = {
    { "a histogram in which nothing was recorded gives 0", nothing_recorded },
    { "values below 128 are exact", small_values_are_exact },
    { "each power of two and its neighbours are found within 1/64", every_octave },
    { "quantiles of random values are those of the sorted values, within 1/64",
      quantiles_of_random_values },
    { "merging gives what recording in one would have given", merging_adds_up },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
