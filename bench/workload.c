#include "bench/workload.h"

#include <assert.h>

#define SCATTER_START \
    0x9e3779b97f4a7c15u /* 2^64 divided by the golden ratio: neighbours end far apart */

const char *workload_command_name(enum workload_command command)
{
    static const char *const names[] = {
        [WORKLOAD_READ] = "read",
        [WORKLOAD_WRITE] = "write",
        [WORKLOAD_TRIM] = "trim",
        [WORKLOAD_ZERO] = "zero",
    };

    return names[command];
}

static uint64_t greatest_common_divisor(uint64_t a, uint64_t b)
{
    while (b != 0) {
        uint64_t rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

/* A factor without common divisor makes the multiplication a permutation of the blocks. */
static uint64_t scatter_factor(uint64_t blocks)
{
    uint64_t factor = SCATTER_START % blocks;

    while (greatest_common_divisor(factor, blocks) != 1)
        factor++;
    return factor;
}

void workload_init(struct workload *workload, const struct workload_config *config)
{
    assert(config->block_min_bytes > 0 && config->area_bytes > 0);
    assert(config->block_max_bytes % config->block_min_bytes == 0);
    assert(config->pattern == WORKLOAD_SEQUENTIAL ||
           (config->block_max_bytes <= config->area_bytes &&
            config->area_bytes % config->block_min_bytes == 0));
    workload->config = *config;
    workload->blocks = config->area_bytes / config->block_min_bytes;
    if (config->pattern == WORKLOAD_ZIPF) {
        workload->scatter = scatter_factor(workload->blocks);
        zipf_init(&workload->zipf, workload->blocks, config->theta);
    }
    atomic_init(&workload->cursor_bytes, 0);
}

void workload_stream_init(struct workload_stream *stream, struct workload *workload, uint64_t index)
{
    stream->workload = workload;
    stream->random.state = random_mix(workload->config.seed + random_mix(index + 1));
}

static uint32_t draw_length(struct workload_stream *stream)
{
    const struct workload_config *config = &stream->workload->config;
    uint32_t choices = config->block_max_bytes / config->block_min_bytes;

    if (choices == 1)
        return config->block_min_bytes;
    return config->block_min_bytes * (uint32_t)(1 + random_below(&stream->random, choices));
}

static enum workload_command draw_command(struct workload_stream *stream)
{
    const unsigned *percent = stream->workload->config.percent;
    uint64_t drawn;
    unsigned command = 0;

    for (command = 0; command < WORKLOAD_COMMANDS; command++) {
        if (percent[command] == 100)
            return (enum workload_command)command;
    }
    drawn = random_below(&stream->random, 100);
    for (command = 0; command < WORKLOAD_COMMANDS - 1 && drawn >= percent[command]; command++)
        drawn -= percent[command];
    return (enum workload_command)command;
}

/* The next piece of the area; the last one of a pass ends where the area does. */
static bool draw_sequential(struct workload *workload, struct workload_request *out)
{
    const struct workload_config *config = &workload->config;
    uint64_t cursor = atomic_load_explicit(&workload->cursor_bytes, memory_order_relaxed);
    uint64_t at, length;

    do {
        if (config->passes > 0 && cursor / config->area_bytes >= config->passes)
            return false;
        at = cursor % config->area_bytes;
        length = config->area_bytes - at;
        if (length > out->length_bytes)
            length = out->length_bytes;
    } while (!atomic_compare_exchange_weak_explicit(&workload->cursor_bytes, &cursor,
                                                    cursor + length, memory_order_relaxed,
                                                    memory_order_relaxed));
    out->offset_bytes = config->area_offset_bytes + at;
    out->length_bytes = (uint32_t)length;
    return true;
}

static uint64_t draw_block(struct workload_stream *stream, uint64_t last)
{
    const struct workload *workload = stream->workload;
    uint64_t block;

    if (workload->config.pattern == WORKLOAD_RANDOM)
        return random_below(&stream->random, last + 1);
    block = zipf_next(&workload->zipf, &stream->random);
    block = (uint64_t)((unsigned __int128)block * workload->scatter % workload->blocks);
    return block < last ? block : last;
}

bool workload_next(struct workload_stream *stream, struct workload_request *out)
{
    struct workload *workload = stream->workload;
    const struct workload_config *config = &workload->config;

    out->command = draw_command(stream);
    out->length_bytes = draw_length(stream);
    if (config->pattern == WORKLOAD_SEQUENTIAL)
        return draw_sequential(workload, out);
    uint64_t last = workload->blocks - out->length_bytes / config->block_min_bytes;
    out->offset_bytes =
        config->area_offset_bytes + draw_block(stream, last) * config->block_min_bytes;
    return true;
}
