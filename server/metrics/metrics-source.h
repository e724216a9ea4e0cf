/* The server that metrics are of.  What it has is asked from any thread; it waits for no worker,
 * and for a change of the exports no longer than it takes to exchange them. */
#ifndef NBDCRYPT_METRICS_SOURCE_H
#define NBDCRYPT_METRICS_SOURCE_H

#include "server/access/places.h"
#include "server/board/board.h"
#include "server/export/export-set.h"
#include "server/metrics/metrics-names.h"
#include "server/tls/tls.h"

/* How much is told of each export. */
enum metrics_detail {
    METRICS_FULL,  /* counters and, of exports_max of them, histograms */
    METRICS_BASIC, /* counters */
    METRICS_OFF,   /* nothing: all exports are one */
};

/* All of it outlives the source. */
struct metrics_source {
    const struct board *board;
    const struct places *places;
    struct tls *tls;
    enum metrics_detail detail;
    struct metrics_names *names; /* which exports have histograms of their own */
    void *context;
    /* The exports as they are, for a moment: a change waits until they are given back. */
    const struct export_set *(*lock)(void *context);
    void (*unlock)(void *context);
};

/* All exports, one after the other, with what they did: `figures` are NULL where they moved during
 * every look.  The export and the figures are there during the call, which must not wait for
 * anything.  False: what exports had has moved between them meanwhile, so that it does not belong
 * together. */
typedef void metrics_export_fn(void *context, const struct export *export,
                               const struct board_figures *figures);
bool metrics_each_export(const struct metrics_source *source, metrics_export_fn *fn, void *context);

#endif
