/* So many messages of one kind and source pass in a minute, the others are counted and told once; a
 * source does not use up what another has, but for what all have together. */
#include "server/base/log-limit.h"

#include <stdlib.h>
#include <string.h>

#include "tests/support/check.h"

static const char kind[] = "kind", other_kind[] = "other";

static bool say(struct log_limit *limit, const char *what, uint64_t source, uint64_t now_ms)
{
    return log_limit_lets_pass(limit, what, source, 1, "client x: words", now_ms);
}

static unsigned say_often(struct log_limit *limit, const char *what, uint64_t source,
                          unsigned times, uint64_t now_ms)
{
    unsigned passed = 0;

    for (unsigned i = 0; i < times; i++)
        passed += say(limit, what, source, now_ms);
    return passed;
}

static void one_source(struct log_limit *limit)
{
    struct log_limit_row row;

    EXPECT(say_often(limit, kind, 7, 1000, 5) == LOG_LIMIT_OF_SOURCE);
    EXPECT(say(limit, kind, 8, 6));
    EXPECT(say(limit, other_kind, 7, 6));
    EXPECT(log_limit_holds_back(limit));
    EXPECT(!log_limit_expire(limit, 5 + LOG_LIMIT_WINDOW_MS - 1, false, &row));
    EXPECT(log_limit_expire(limit, 5 + LOG_LIMIT_WINDOW_MS, false, &row));
    EXPECT(row.held_back == 1000 - LOG_LIMIT_OF_SOURCE && row.source == 7);
    EXPECT(!strcmp(row.last, "client x: words"));
    EXPECT(!log_limit_expire(limit, 5 + LOG_LIMIT_WINDOW_MS, false, &row));
    EXPECT(!log_limit_holds_back(limit));
    EXPECT(say(limit, kind, 7, 6 + LOG_LIMIT_WINDOW_MS));
}

/* More sources than are remembered: all of it is bounded and counted. */
static void many_sources(struct log_limit *limit)
{
    struct log_limit_row row;
    unsigned passed = 0, told = 0;

    for (uint64_t source = 1; source <= 100000; source++)
        passed += say(limit, kind, source, 1);
    EXPECT(passed == LOG_LIMIT_OF_KIND);
    while (log_limit_expire(limit, 2, true, &row))
        told += row.held_back;
    EXPECT(passed + told == 100000);
}

/* Minute after minute, a steady flood costs so many lines each. */
static void steady_flood(struct log_limit *limit)
{
    struct log_limit_row row;
    unsigned written = 0;

    for (uint64_t now_ms = 0; now_ms < 10 * LOG_LIMIT_WINDOW_MS; now_ms += 50) {
        written += say(limit, kind, 3, now_ms);
        while (log_limit_expire(limit, now_ms, false, &row))
            written++;
    }
    EXPECT(written <= 11 * (LOG_LIMIT_OF_SOURCE + 1));
    EXPECT(written >= 9 * LOG_LIMIT_OF_SOURCE);
}

int main(void)
{
    void (*const tests[])(struct log_limit *) = { one_source, many_sources, steady_flood };

    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        struct log_limit *limit = calloc(1, sizeof *limit);

        EXPECT(limit != NULL);
        tests[i](limit);
        free(limit);
    }
    return 0;
}
