/* The metrics of `nbdcrypt serve`: for `nbdcrypt ctl metrics`, and over HTTP where that was asked
 * for. */
#ifndef NBDCRYPT_SERVE_METRICS_H
#define NBDCRYPT_SERVE_METRICS_H

#include "server/loop/offload.h"
#include "server/metrics/metrics-source.h"
#include "server/serve/metrics-options.h"

struct exports;
struct serve_metrics;

/* Binds its sockets. */
NODISCARD int serve_metrics_open(struct serve_metrics **out, const struct metrics_options *options,
                                 struct error *err);
/* What they are of; all of it outlives serve_metrics_stop(). */
struct serve_metrics_host {
    const struct board *board;
    const struct places *places;
    struct tls *tls;
    struct exports *exports;
};
/* Answers from then on; `host` is copied. */
NODISCARD int serve_metrics_start(struct serve_metrics *metrics,
                                  const struct serve_metrics_host *host, struct error *err);
/* What it proves itself with, if that is its own and not NBD's: a reload reads it again; else NULL.
 */
struct tls *serve_metrics_tls(struct serve_metrics *metrics);
const struct metrics_source *serve_metrics_source(const struct serve_metrics *metrics);
/* One thread, for what takes milliseconds; there from serve_metrics_start() on. */
struct offload *serve_metrics_looks(const struct serve_metrics *metrics);

/* Before the exports are closed: nobody asks any more.  False: a thread hangs, and the process has
 * to end by _exit().  NULL is fine, also below. */
NODISCARD bool serve_metrics_stop(struct serve_metrics *metrics);
/* Another thread, while the process ends before its start: the name of the socket goes. */
void serve_metrics_remove_name(const struct serve_metrics *metrics);
void serve_metrics_free(struct serve_metrics *metrics);

#endif
