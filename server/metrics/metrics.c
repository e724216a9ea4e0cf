#include "server/metrics/metrics.h"

#include <stdlib.h>

#include "server/metrics/metrics-exports.h"
#include "server/metrics/metrics-groups.h"
#include "server/metrics/metrics-server.h"

char *metrics_text(const struct metrics_source *source, bool openmetrics, size_t *length_bytes)
{
    struct metrics_text text = { .openmetrics = openmetrics };
    struct metrics_snapshot snapshot;

    if (!metrics_snapshot_take(&snapshot, source))
        text.failed = true;
    metrics_put_server(&text, source);
    metrics_put_workers(&text, source);
    metrics_put_process(&text);
    metrics_put_exports(&text, &snapshot);
    metrics_put_groups(&text);
    metrics_end(&text);
    metrics_snapshot_free(&snapshot);
    if (text.failed)
        metrics_text_free(&text);
    *length_bytes = text.length_bytes;
    return text.bytes;
}
