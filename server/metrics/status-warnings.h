/* What is wrong with a server, in sentences. */
#ifndef NBDCRYPT_STATUS_WARNINGS_H
#define NBDCRYPT_STATUS_WARNINGS_H

#include <json-c/json.h>

#include "server/metrics/metrics-source.h"

/* Of the exports: how many, and the name of the first. */
struct status_troubles {
    unsigned missing, suspended, lost, unsynced;
    char first_missing[64], first_lost[64], first_unsynced[64];
    uint64_t waits_ns; /* the request that storage has not answered for the longest time */
    char waits[64];    /* of this one */
};

void status_troubles_of_export(struct status_troubles *troubles, const struct export *export);
void status_troubles_of_wait(struct status_troubles *troubles, const char *export, uint64_t ns);
/* An array of texts; the caller's to put. */
struct json_object *status_warnings(const struct metrics_source *source,
                                    const struct status_troubles *troubles);

#endif
