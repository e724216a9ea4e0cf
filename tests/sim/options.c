#include "tests/sim/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/random.h"

struct options options;

static const struct row {
    const char *name;
    uint64_t *value;
    uint64_t least, most;
} rows[] = {
#define OPTION_ROW(name, least, most) { #name, &options.name, least, most },
    OPTIONS(OPTION_ROW)
#undef OPTION_ROW
};

static uint64_t skewed(uint64_t least, uint64_t most)
{
    return random_skewed(STREAM_OPTIONS, least, most);
}

static bool one_in(unsigned count)
{
    return random_below(STREAM_OPTIONS, count) == 0;
}

/* Each kind is left out in some seeds, so that the others are not always in its shadow. */
static uint64_t weight(unsigned left_out_in, uint64_t most)
{
    return one_in(left_out_in) ? 0 : skewed(1, most);
}

static void draw_sizes(void)
{
    static const uint64_t sizes_kib[] = { 64, 256, 1024, 2048, 4096 };

    options.layer = random_below(STREAM_OPTIONS, 4);
    options.tls = one_in(3) ? 1 + random_below(STREAM_OPTIONS, 2) : 0;
    options.store_tls = one_in(3) ? 1 + random_below(STREAM_OPTIONS, 2) : 0;
    options.key_update_permille = one_in(2) ? 0 : skewed(1, 100);
    options.remote = one_in(4);
    options.store_life_ms = skewed(10, 1000);
    options.store_deaths = one_in(5) ? 0 : skewed(1, 8);
    options.detached = options.layer > 0 && one_in(2) && !options.remote;
    options.live_ms = one_in(3) ? skewed(5, 1000) : 0;
    options.retry_exports = one_in(4);
    options.job_ms = one_in(3) ? skewed(10, 2000) : 0;
    options.cbc = options.layer > 0 && one_in(4);
    options.serpent = options.layer > 0 && one_in(6);
    options.zero_holes = options.layer > 1 && one_in(4);
    options.discard = options.layer > 0 && one_in(3);
    options.size_kib = sizes_kib[random_below(STREAM_OPTIONS, 5)];
    options.region_kib = one_in(2) ? options.size_kib : skewed(4, 64);
    options.workers = skewed(1, 3);
    options.clients = skewed(1, 6);
    options.commands = 100 + skewed(1, 500);
    options.depth = one_in(2) ? skewed(1, 4) : one_in(4) ? skewed(24, 64) : skewed(4, 24);
    options.buffers = one_in(2) ? 1 : 8;
    options.rude_permille = one_in(2) ? 0 : skewed(5, 100);
    options.long_permille = one_in(3) ? 0 : skewed(10, 300);
}

static void draw_work(void)
{
    options.read = skewed(10, 100);
    options.write = skewed(10, 100);
    options.flush = weight(4, 20);
    options.trim = weight(2, 20);
    options.zero = weight(2, 20);
    options.status = weight(2, 10);
    options.cache = weight(4, 5);
    options.fua_permille = one_in(3) ? 0 : skewed(10, 500);
    options.lives = one_in(4) ? 1 : skewed(2, 6);
    options.power = weight(4, 100);
    options.kill = weight(4, 100);
    options.term = weight(4, 100);
    options.life_commands = skewed(10, 300);
    options.early_permille = one_in(2) ? 0 : 200;
}

static void draw_faults(void)
{
    options.short_permille = one_in(2) ? 0 : skewed(1, 300);
    options.interrupted_permille = one_in(2) ? 0 : skewed(1, 100);
    options.slow_permille = one_in(3) ? skewed(1, 20) : 0;
    options.split_permille = one_in(2) ? 0 : skewed(10, 500);
    options.read_error_permille = one_in(5) ? skewed(1, 50) : 0;
    options.write_error_permille = one_in(5) ? skewed(1, 50) : 0;
    options.sync_error_permille = one_in(3) ? skewed(5, 200) : 0;
    options.no_space_permille = one_in(6) ? skewed(1, 50) : 0;
    options.no_fallocate_permille = one_in(4) ? skewed(10, 1000) : 0;
    options.disk_us = skewed(1, 10000);
    options.loop_us = skewed(1, 1000);
    options.net_us = skewed(1, 10000);
    options.window_bytes = one_in(4) ? skewed(1000, 65536) : 1u << 20;
    options.short_net_permille = one_in(2) ? 0 : skewed(1, 300);
    options.stall_permille = one_in(4) ? skewed(1, 10) : 0;
    options.reset_permille = one_in(3) ? skewed(1, 30) : 0;
    options.lies = options.remote && one_in(3) ? skewed(1, 100) : 0;
    options.plain_syncs = options.remote && one_in(2);
    options.neighbour = options.remote && one_in(2);
}

/* What is slow in virtual time lets changes of the running server and of keys happen often. */
static bool is_quiet(void)
{
    return options.live_ms == 0 && options.job_ms == 0;
}

/* Behind the others, so that those of a seed stay what they were. */
static void draw_restraints(void)
{
    bool limited = one_in(4), frozen = one_in(5), crowded = one_in(6), slow = one_in(4);

    options.limit_iops = limited && one_in(2) ? skewed(100, 5000) : 0;
    options.limit_kib = limited && one_in(2) ? skewed(4096, 65536) : 0;
    options.burst_seconds = one_in(2) ? 0 : skewed(1, 5);
    options.client_iops = limited && one_in(2) ? skewed(100, 2000) : 0;
    options.io_size_kib = one_in(2) ? 0 : skewed(4, 256);
    options.freeze_permille = frozen && is_quiet() ? skewed(1, 20) : 0;
    options.places = crowded ? skewed(1, 8) : 0;
    options.batch_us = slow ? skewed(10, 500) : 0;
    options.open_seconds = one_in(5) ? skewed(1, 3) : 0;
    options.retry_seconds = one_in(3) ? skewed(1, 3) : 0;
    options.preempt_permille = one_in(4) ? skewed(1, 20) : 0;
    options.extended_permille = one_in(3) ? 0 : one_in(2) ? 1000 : skewed(100, 1000);
    options.store_is_old = options.remote && one_in(3);
    options.group_iops = limited && one_in(2) ? skewed(100, 3000) : 0;
    options.window = one_in(6);
    options.desert_mib = one_in(8) ? 4097 + random_below(STREAM_OPTIONS, 4096) : 0;
}

void options_draw(void)
{
    draw_sizes();
    draw_work();
    draw_faults();
    draw_restraints();
    if (options.neighbour) /* its export is there: the server starts without the disk */
        options.retry_exports = 1;
}

void options_agree(void)
{
    if (options.layer < 2)
        options.zero_holes = 0;
    if (options.layer == 0)
        options.detached = options.cbc = options.serpent = options.discard = 0;
    if (options.layer > 0)
        options.window = 0;
    if (options.desert_mib > 0) /* what is of gigabytes would be waited for all day */
        options.limit_kib = options.io_size_kib = 0;
    if (options.remote)
        options.detached = 0;
    else
        options.plain_syncs = options.store_is_old = 0;
}

bool options_set(const char *text)
{
    const char *equals = strchr(text, '=');

    for (size_t i = 0; equals != NULL && i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *row = &rows[i];
        char *end;

        if (strlen(row->name) != (size_t)(equals - text) ||
            strncmp(row->name, text, strlen(row->name)) != 0)
            continue;
        uint64_t value = strtoull(equals + 1, &end, 10);
        if (*end != '\0' || end == equals + 1 || value < row->least || value > row->most)
            return false;
        *row->value = value;
        return true;
    }
    return false;
}

void options_print(void)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        fprintf(stderr, " %s=%llu", rows[i].name, (unsigned long long)*rows[i].value);
}

uint64_t *options_at(unsigned n, uint64_t *least)
{
    if (n >= sizeof(rows) / sizeof(rows[0]))
        return NULL;
    *least = rows[n].least;
    return rows[n].value;
}
