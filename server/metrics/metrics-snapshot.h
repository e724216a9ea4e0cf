/* What exports have done, as metrics show it: copied from the board at one time, so that a family
 * can be written after the other. */
#ifndef NBDCRYPT_METRICS_SNAPSHOT_H
#define NBDCRYPT_METRICS_SNAPSHOT_H

#include "server/metrics/metrics-source.h"

/* Operations as they are shown: those that nobody asks for in numbers are one. */
enum metrics_op {
    METRICS_READ,
    METRICS_WRITE,
    METRICS_FLUSH,
    METRICS_TRIM,
    METRICS_ZERO,
    METRICS_OTHER,
    METRICS_OPS
};
const char *metrics_op_name(enum metrics_op op);

/* 16 us times powers of 4, up to 16.8 s. */
#define METRICS_BOUNDS 11u
uint64_t metrics_bound_us(unsigned bound);

struct metrics_histogram {
    uint64_t count, sum_ns;
    uint64_t below[METRICS_BOUNDS]; /* so many were shorter than that bound */
};
void metrics_histogram_of(struct metrics_histogram *out, const struct board_histogram *from);

struct metrics_durations {
    struct metrics_histogram request[METRICS_OPS], backend[METRICS_OPS];
};

struct metrics_export {
    char *name;
    uint64_t id;
    bool open, suspended, has_counts;
    bool backend_lost;
    uint64_t size_bytes; /* if it is open, as is what follows */
    const char *backend; /* "file" */
    char uuid[40];       /* of what is encrypted, as is the cipher; or "" */
    char cipher[80];

    unsigned connections, in_flight;
    uint64_t oldest_ns; /* how long the oldest command has been in flight */

    uint64_t requests[METRICS_OPS];
    uint64_t errors[METRICS_OPS][BOARD_ERRORS];
    uint64_t read_bytes, written_bytes, attached, throttled_ns, slow;
    struct board_crypto crypto[2];
    uint64_t limits[LIMIT_KINDS];        /* a second; 0: none */
    const struct limit_set *group;       /* whose limits it shares; NULL: none */
    unsigned weight;                     /* of its part in these */
    struct metrics_durations *durations; /* NULL: they are in those of the others */
};

struct metrics_snapshot {
    struct metrics_export *exports; /* by ascending ids */
    size_t count, room;
    struct metrics_export others; /* what has gone, and what is not shown by name */
    struct board_figures *sums;   /* two of them, of which `others` is made */
    struct board_export *rows;    /* as they were on the board before that */
    size_t row_count;
    bool failed; /* there was no memory */
};

/* The name of `others`; exports whose names begin with it are shown with a ' in front. */
#define METRICS_OTHERS "(others)"

/* False: there is no memory.  To be freed in every case. */
bool metrics_snapshot_take(struct metrics_snapshot *out, const struct metrics_source *source);
void metrics_snapshot_free(struct metrics_snapshot *snapshot);

#endif
