/* So many messages of a kind from one source, and of a kind from all, are written in a minute; the
 * others are counted, and their number is told when the minute is over. So whoever can make a
 * server say something can neither fill its disk nor hide what others caused. Not thread-safe: it
 * belongs to the thread that writes the log. */
#ifndef NBDCRYPT_LOG_LIMIT_H
#define NBDCRYPT_LOG_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#define LOG_LIMIT_WINDOW_MS 60000u
#define LOG_LIMIT_OF_SOURCE 50u /* of one kind in a window */
#define LOG_LIMIT_OF_KIND 200u  /* the same, from all sources together */
#define LOG_LIMIT_SOURCES \
    512u /* pairs of kind and source that are known; others have their kind's limit */
#define LOG_LIMIT_KINDS 128u /* more than the program has */
#define LOG_LIMIT_LAST_BYTES 200u

struct log_limit_row {
    const char *kind; /* NULL: the row is free */
    uint64_t source;  /* 0: all sources of the kind */
    int level;
    uint64_t since_ms;
    uint32_t written, held_back;
    char last[LOG_LIMIT_LAST_BYTES]; /* the beginning of the last one that was held back */
};

struct log_limit {
    struct log_limit_row sources[LOG_LIMIT_SOURCES];
    struct log_limit_row kinds[LOG_LIMIT_KINDS];
};

/* Whether this message is to be written. `source` is not 0. `now_ms` counts on from any time. */
bool log_limit_lets_pass(struct log_limit *limit, const char *kind, uint64_t source, int level,
                         const char *text, uint64_t now_ms);
/* Gives up one row whose minute is over, or at the `end` any one; true: `*out` is one that held
 * something back, which is to be told. False: there is none any more. */
bool log_limit_expire(struct log_limit *limit, uint64_t now_ms, bool end,
                      struct log_limit_row *out);

/* Something is held back: log_limit_expire() has to be asked now and then. */
bool log_limit_holds_back(const struct log_limit *limit);

#endif
