/* The load generator's workloads: what is asked for, how often, and where. */
#include "bench/workload.h"

#include <math.h>

#include "tests/support/check.h"

#define BLOCK 4096u
#define BLOCKS 1000u
#define AREA_OFFSET (1ull << 40)

static struct workload workload;
static struct workload_stream streams[4];

static struct workload_config config_of(enum workload_pattern pattern)
{
    return (struct workload_config){
        .pattern = pattern,
        .theta = ZIPF_THETA_DEFAULT,
        .percent = { [WORKLOAD_READ] = 100 },
        .block_min_bytes = BLOCK,
        .block_max_bytes = BLOCK,
        .area_offset_bytes = AREA_OFFSET,
        .area_bytes = (uint64_t)BLOCK * BLOCKS,
        .seed = 42,
    };
}

static void begin(const struct workload_config *config)
{
    workload_init(&workload, config);
    for (unsigned i = 0; i < 4; i++)
        workload_stream_init(&streams[i], &workload, i);
}

/* It lies in the area, on a block's boundary, and has a length of the range. */
static void expect_sound(const struct workload_request *request)
{
    const struct workload_config *config = &workload.config;
    uint64_t start = request->offset_bytes - config->area_offset_bytes;

    EXPECT(request->offset_bytes >= config->area_offset_bytes);
    EXPECT(start + request->length_bytes <= config->area_bytes);
    EXPECT(start % config->block_min_bytes == 0);
    EXPECT(request->length_bytes % config->block_min_bytes == 0);
    EXPECT(request->length_bytes >= config->block_min_bytes);
    EXPECT(request->length_bytes <= config->block_max_bytes);
}

/* ---- sequential ---- */

static void passes_cover_everything(void)
{
    static unsigned seen[BLOCKS];
    struct workload_config config = config_of(WORKLOAD_SEQUENTIAL);
    struct workload_request request;
    unsigned turn = 0;

    memset(seen, 0, sizeof seen);
    config.passes = 3;
    config.block_max_bytes = 8 * BLOCK;
    begin(&config);
    while (workload_next(&streams[turn++ % 4], &request)) {
        expect_sound(&request);
        uint64_t first = (request.offset_bytes - AREA_OFFSET) / BLOCK;
        for (uint64_t i = first; i < first + request.length_bytes / BLOCK; i++)
            seen[i]++;
    }
    for (unsigned i = 0; i < BLOCKS; i++)
        EXPECT(seen[i] == 3);
    EXPECT(!workload_next(&streams[0], &request));
}

static void sequential_goes_round(void)
{
    struct workload_config config = config_of(WORKLOAD_SEQUENTIAL);
    struct workload_request request;

    begin(&config);
    for (uint64_t i = 0; i < 3 * BLOCKS; i++) {
        EXPECT(workload_next(&streams[i % 4], &request));
        EXPECT(request.offset_bytes == AREA_OFFSET + i % BLOCKS * BLOCK);
        EXPECT(request.length_bytes == BLOCK);
    }
}

static void the_last_piece_is_shorter(void)
{
    struct workload_config config = config_of(WORKLOAD_SEQUENTIAL);
    struct workload_request request;
    uint64_t sum_bytes = 0, last_bytes = 0;

    config.passes = 1;
    config.block_min_bytes = config.block_max_bytes = 3 * BLOCK;
    begin(&config);
    while (workload_next(&streams[0], &request)) {
        last_bytes = request.length_bytes;
        sum_bytes += last_bytes;
    }
    EXPECT(last_bytes == BLOCK); /* 1000 is 333 times 3, and 1 */
    EXPECT(sum_bytes == config.area_bytes);
}

/* ---- random ---- */

static void random_is_even(void)
{
    static unsigned seen[BLOCKS];
    struct workload_config config = config_of(WORKLOAD_RANDOM);
    double chi_square = 0;

    memset(seen, 0, sizeof seen);
    begin(&config);
    for (unsigned i = 0; i < BLOCKS * 100; i++) {
        struct workload_request request;

        EXPECT(workload_next(&streams[i % 4], &request));
        expect_sound(&request);
        seen[(request.offset_bytes - AREA_OFFSET) / BLOCK]++;
    }
    for (unsigned i = 0; i < BLOCKS; i++)
        chi_square += (seen[i] - 100.0) * (seen[i] - 100.0) / 100.0;
    /* 999 degrees of freedom: mean 999, standard deviation 45. */
    EXPECT(chi_square > 800 && chi_square < 1200);
}

static void lengths_of_a_range(void)
{
    struct workload_config config = config_of(WORKLOAD_RANDOM);
    unsigned seen[17] = { 0 };

    config.block_max_bytes = 16 * BLOCK;
    config.area_bytes = 20 * BLOCK;
    begin(&config);
    for (unsigned i = 0; i < 16000; i++) {
        struct workload_request request;

        EXPECT(workload_next(&streams[0], &request));
        expect_sound(&request);
        seen[request.length_bytes / BLOCK]++;
    }
    for (unsigned i = 1; i <= 16; i++)
        EXPECT(seen[i] > 800 && seen[i] < 1200);
}

static void mixes(void)
{
    struct workload_config config = config_of(WORKLOAD_RANDOM);
    unsigned seen[WORKLOAD_COMMANDS] = { 0 };

    config.percent[WORKLOAD_READ] = 60;
    config.percent[WORKLOAD_WRITE] = 25;
    config.percent[WORKLOAD_TRIM] = 10;
    config.percent[WORKLOAD_ZERO] = 5;
    begin(&config);
    for (unsigned i = 0; i < 100000; i++) {
        struct workload_request request;

        EXPECT(workload_next(&streams[0], &request));
        seen[request.command]++;
    }
    for (unsigned i = 0; i < WORKLOAD_COMMANDS; i++)
        EXPECT(abs((int)seen[i] - (int)config.percent[i] * 1000) < 700);
}

static void seeds(void)
{
    struct workload_config config = config_of(WORKLOAD_RANDOM);
    struct workload_request first[100], request;
    unsigned same = 0;

    begin(&config);
    for (unsigned i = 0; i < 100; i++)
        EXPECT(workload_next(&streams[1], &first[i]));
    begin(&config);
    for (unsigned i = 0; i < 100; i++) {
        EXPECT(workload_next(&streams[1], &request));
        EXPECT(request.offset_bytes == first[i].offset_bytes);
        EXPECT(workload_next(&streams[2], &request));
        same += request.offset_bytes == first[i].offset_bytes;
    }
    EXPECT(same < 5);
}

/* ---- zipf ---- */

/* Against the probabilities of the law, for exponents below, at and above 1. */
static void zipf_follows_the_law(void)
{
    static const double thetas[] = { 0.2, 0.5, 0.99, 1.0, 1.0000000001, 1.2, 2.0, 5.0 };
    enum { COUNT = 50, DRAWS = 200000 };

    for (unsigned i = 0; i < sizeof thetas / sizeof thetas[0]; i++) {
        struct zipf zipf;
        struct random random = { .state = i };
        unsigned seen[COUNT] = { 0 };
        double sum = 0;

        zipf_init(&zipf, COUNT, thetas[i]);
        for (unsigned k = 0; k < DRAWS; k++) {
            uint64_t rank = zipf_next(&zipf, &random);

            EXPECT(rank < COUNT);
            seen[rank]++;
        }
        for (unsigned k = 1; k <= COUNT; k++)
            sum += pow(k, -thetas[i]);
        for (unsigned k = 1; k <= COUNT; k++) {
            double expected = DRAWS * pow(k, -thetas[i]) / sum;

            EXPECT(fabs(seen[k - 1] - expected) < 5 * sqrt(expected) + 5);
        }
    }
}

static void zipf_of_extremes(void)
{
    static const uint64_t counts[] = { 1, 2, 3, 1ull << 32, 1ull << 53 };
    static const double thetas[] = { 0.01, 0.99, 1.0, ZIPF_THETA_MAX };

    for (unsigned i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        for (unsigned k = 0; k < sizeof thetas / sizeof thetas[0]; k++) {
            struct zipf zipf;
            struct random random = { .state = 3 };

            zipf_init(&zipf, counts[i], thetas[k]);
            for (unsigned draw = 0; draw < 1000; draw++)
                EXPECT(zipf_next(&zipf, &random) < counts[i]);
        }
    }
}

/* Hot blocks are apart, and every rank has a block of its own. */
static void zipf_is_scattered(void)
{
    static bool taken[BLOCKS];
    struct workload_config config = config_of(WORKLOAD_ZIPF);
    uint64_t previous = 0;

    memset(taken, 0, sizeof taken);
    begin(&config);
    for (uint64_t rank = 0; rank < BLOCKS; rank++) {
        uint64_t block = rank * workload.scatter % BLOCKS;

        EXPECT(!taken[block]);
        EXPECT(rank == 0 || (block + BLOCKS - previous) % BLOCKS > 10);
        taken[block] = true;
        previous = block;
    }
    for (unsigned i = 0; i < 10000; i++) {
        struct workload_request request;

        EXPECT(workload_next(&streams[0], &request));
        expect_sound(&request);
    }
}

static const struct check checks[] = {
    { "passes of four connections cover each byte as often as there are passes",
      passes_cover_everything },
    { "a sequential workload without passes goes round and round", sequential_goes_round },
    { "the last piece of a pass ends with the area", the_last_piece_is_shorter },
    { "a random workload visits all blocks evenly", random_is_even },
    { "each length of a range comes up as often as the others", lengths_of_a_range },
    { "commands come up in the percentages asked for", mixes },
    { "a seed repeats a connection's requests, and connections differ", seeds },
    { "zipf ranks come up as the law says", zipf_follows_the_law },
    { "zipf takes any count and theta", zipf_of_extremes },
    { "zipf's hot blocks are scattered, each rank to its own", zipf_is_scattered },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
