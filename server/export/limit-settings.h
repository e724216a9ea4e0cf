/* What an export may be asked for, as it is given: rows of EXPORT_ROWS_LIMITS. */
#ifndef NBDCRYPT_LIMIT_SETTINGS_H
#define NBDCRYPT_LIMIT_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "server/base/error.h"

enum limit_kind {
    LIMIT_IOPS,
    LIMIT_READ_IOPS,
    LIMIT_WRITE_IOPS,
    LIMIT_BANDWIDTH,
    LIMIT_READ_BANDWIDTH,
    LIMIT_WRITE_BANDWIDTH,
    LIMIT_KINDS
};
#define LIMIT_IOPS_KINDS LIMIT_BANDWIDTH /* so many are of operations, the others of bytes */

const char *limit_kind_name(enum limit_kind kind);       /* "limit-read-iops" */
const char *limit_kind_burst_name(enum limit_kind kind); /* "burst-read-iops" */

/* The fields of options; 0 and NULL: none. */
struct limit_settings {
    unsigned iops[LIMIT_IOPS_KINDS];                    /* operations a second */
    uint64_t bandwidth[LIMIT_KINDS - LIMIT_IOPS_KINDS]; /* bytes a second */
    const char *burst[LIMIT_KINDS];                     /* "RATE/SECONDS" */
    uint64_t io_size_bytes; /* a larger request counts as several operations */
    unsigned client_iops;   /* of each client */
    uint64_t client_bandwidth;
};

/* Of several exports together; no limits of clients. */
struct limit_group_settings {
    const char *name;
    struct limit_settings limits;
};
#define LIMIT_GROUP_NONE "off" /* no group has this name: an export that is in none */

/* What they mean. */
struct limit_terms {
    uint64_t rate[LIMIT_KINDS]; /* a second; 0: none */
    uint64_t
        burst_rate[LIMIT_KINDS]; /* a second, for that long, after a time of nothing; 0: none */
    unsigned burst_seconds[LIMIT_KINDS];
    uint64_t io_size_bytes; /* 0: each request is one operation */
    uint64_t client_iops, client_bandwidth;
};

/* -EINVAL with a sentence: a burst that is no burst, or of a limit that is not there. */
NODISCARD int limit_settings_terms(struct limit_terms *out, const struct limit_settings *settings,
                                   struct error *err);

/* The other way: what would have been given.  The texts of bursts are put into `texts`. */
#define LIMIT_TEXT_BYTES 40u
void limit_terms_settings(struct limit_settings *out, char texts[LIMIT_KINDS][LIMIT_TEXT_BYTES],
                          const struct limit_terms *terms);
/* One after the other what is given, as key and value; *at is 0 at first.  False: there is no
 * more. */
bool limit_terms_next(const struct limit_terms *terms, unsigned *at, const char **key,
                      char value[LIMIT_TEXT_BYTES]);

/* Those of each client, as limits of a thing of its own. */
struct limit_terms limit_terms_of_client(const struct limit_terms *terms);
/* Whether they limit anything. */
bool limit_terms_hold(const struct limit_terms *terms);
bool limit_terms_equal(const struct limit_terms *a, const struct limit_terms *b);

#endif
