/* What the status page shows, as JSON: see nbdcrypt-metrics(7). */
#ifndef NBDCRYPT_STATUS_JSON_H
#define NBDCRYPT_STATUS_JSON_H

#include "server/metrics/metrics-source.h"

/* Of so many, those that came first. */
#define STATUS_EXPORTS_MAX 500u
#define STATUS_CLIENTS_MAX 500u

#define STATUS_STALL_SECONDS 5u /* a worker that is at one batch for so long hangs */

/* The caller's to free; NULL: no memory. */
char *status_json(const struct metrics_source *source, size_t *length_bytes);
/* No worker hangs. */
bool status_is_healthy(const struct board *board);

#endif
