/* The families of metrics that a server has as a whole, its workers, and its process. */
#ifndef NBDCRYPT_METRICS_SERVER_H
#define NBDCRYPT_METRICS_SERVER_H

#include "server/metrics/metrics-source.h"
#include "server/metrics/metrics-text.h"

void metrics_put_server(struct metrics_text *text, const struct metrics_source *source);
void metrics_put_workers(struct metrics_text *text, const struct metrics_source *source);
/* By the names that all programs use for it: no prefix. */
void metrics_put_process(struct metrics_text *text);

/* CPU time of that worker so far; 0: it is not known. */
uint64_t metrics_worker_busy_ns(const struct board_worker *worker);

#endif
