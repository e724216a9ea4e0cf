/* All metrics of a server as text: see nbdcrypt-metrics(7).  No name of a client, no address, no
 * secret is in them. */
#ifndef NBDCRYPT_METRICS_H
#define NBDCRYPT_METRICS_H

#include "server/metrics/metrics-source.h"

/* The caller's to free; NULL: there is no memory.  In the format of Prometheus, or OpenMetrics. Any
 * thread; takes milliseconds. */
char *metrics_text(const struct metrics_source *source, bool openmetrics, size_t *length_bytes);

#endif
