/* What is wrong with a server, in sentences. */
#ifndef NBDCRYPT_STATUS_WARNINGS_H
#define NBDCRYPT_STATUS_WARNINGS_H

#include <json-c/json.h>

#include "server/metrics/metrics-source.h"

/* Of the exports: how many, and the name of the first. */
struct status_troubles {
    unsigned missing, suspended, lost;
    char first_missing[64], first_lost[64];
};

void status_troubles_of_export(struct status_troubles *troubles, const struct export *export);
/* An array of texts; the caller's to put. */
struct json_object *status_warnings(const struct metrics_source *source,
                                    const struct status_troubles *troubles);

#endif
