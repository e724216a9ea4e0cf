/* The families of metrics that exports have. */
#ifndef NBDCRYPT_METRICS_EXPORTS_H
#define NBDCRYPT_METRICS_EXPORTS_H

#include "server/metrics/metrics-snapshot.h"
#include "server/metrics/metrics-text.h"

void metrics_put_exports(struct metrics_text *text, const struct metrics_snapshot *snapshot);
/* `labels`: "tls=\"yes\"", or what stands before `le`. */
void metrics_put_histogram(struct metrics_text *text, const char *name, const char *labels,
                           const struct metrics_histogram *histogram);

#endif
