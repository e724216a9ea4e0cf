#include "server/base/log-limit.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define PROBES 8u /* rows in which a pair may be: bounds what a flood of sources costs */

static bool is_over(const struct log_limit_row *row, uint64_t now_ms)
{
    return now_ms - row->since_ms >= LOG_LIMIT_WINDOW_MS;
}

/* The row of this kind and source; NULL: all `probes` rows where it might be are taken. A row whose
 * minute is over and that has nothing to tell is as good as a free one. */
static struct log_limit_row *row_of(struct log_limit_row *rows, unsigned count, unsigned probes,
                                    const char *kind, uint64_t source, uint64_t now_ms)
{
    uint64_t hash = ((uint64_t)(uintptr_t)kind ^ source) * UINT64_C(0x9e3779b97f4a7c15);
    struct log_limit_row *usable = NULL;

    for (unsigned i = 0; i < probes; i++) {
        struct log_limit_row *row = &rows[((hash >> 32) + i) % count];

        if (row->kind == kind && row->source == source)
            return row;
        if (usable == NULL && (row->kind == NULL || (row->held_back == 0 && is_over(row, now_ms))))
            usable = row;
    }
    if (usable != NULL)
        *usable = (struct log_limit_row){ .kind = kind, .source = source, .since_ms = now_ms };
    return usable;
}

static bool has_room(struct log_limit_row *row, unsigned most, uint64_t now_ms)
{
    if (row->held_back == 0 && is_over(row, now_ms)) {
        row->since_ms = now_ms;
        row->written = 0;
    }
    return row->written < most;
}

static void hold_back(struct log_limit_row *row, int level, const char *text)
{
    row->level = level;
    row->held_back++;
    snprintf(row->last, sizeof row->last, "%s", text);
}

bool log_limit_lets_pass(struct log_limit *limit, const char *kind, uint64_t source, int level,
                         const char *text, uint64_t now_ms)
{
    struct log_limit_row *own =
        row_of(limit->sources, LOG_LIMIT_SOURCES, PROBES, kind, source, now_ms);
    struct log_limit_row *all =
        row_of(limit->kinds, LOG_LIMIT_KINDS, LOG_LIMIT_KINDS, kind, 0, now_ms);

    if (own != NULL && !has_room(own, LOG_LIMIT_OF_SOURCE, now_ms)) {
        hold_back(own, level, text);
        return false;
    }
    if (all != NULL && !has_room(all, LOG_LIMIT_OF_KIND, now_ms)) {
        hold_back(all, level, text);
        return false;
    }
    if (own != NULL)
        own->written++;
    if (all != NULL)
        all->written++;
    return true;
}

static bool expire(struct log_limit_row *rows, unsigned count, uint64_t now_ms, bool end,
                   struct log_limit_row *out)
{
    for (unsigned i = 0; i < count; i++) {
        if (rows[i].held_back == 0 || (!end && !is_over(&rows[i], now_ms)))
            continue;
        *out = rows[i];
        rows[i] = (struct log_limit_row){ 0 };
        return true;
    }
    return false;
}

bool log_limit_expire(struct log_limit *limit, uint64_t now_ms, bool end, struct log_limit_row *out)
{
    return expire(limit->sources, LOG_LIMIT_SOURCES, now_ms, end, out) ||
           expire(limit->kinds, LOG_LIMIT_KINDS, now_ms, end, out);
}

static bool holds_back(const struct log_limit_row *rows, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (rows[i].held_back > 0)
            return true;
    return false;
}

bool log_limit_holds_back(const struct log_limit *limit)
{
    return holds_back(limit->sources, LOG_LIMIT_SOURCES) ||
           holds_back(limit->kinds, LOG_LIMIT_KINDS);
}
