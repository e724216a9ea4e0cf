#include "server/metrics/metrics-exports.h"

#include <stdio.h>
#include <string.h>

#include "server/export/limit-groups.h"
#include "server/nbd/nbd-wire.h"

/* ---- samples ---- */

#define LABEL_BYTES_MAX 200u

/* Names that are cut still differ. */
static void put_name(struct metrics_text *text, const struct metrics_export *of)
{
    char start[LABEL_BYTES_MAX + 1];
    size_t length = strlen(of->name);

    if (strncmp(of->name, METRICS_OTHERS, sizeof METRICS_OTHERS - 1) == 0)
        metrics_put(text, "'");
    snprintf(start, sizeof start, "%s", of->name);
    metrics_put_label(text, start);
    if (length > LABEL_BYTES_MAX)
        metrics_put(text, "...#%llu", (unsigned long long)of->id);
}

/* NAME{export="vm7" : the rest of the labels is the caller's. */
static void begin(struct metrics_text *text, const char *name, const struct metrics_export *of)
{
    metrics_put(text, "nbdcrypt_%s{export=\"", name);
    if (of->name != NULL)
        put_name(text, of);
    else
        metrics_put(text, METRICS_OTHERS);
    metrics_put(text, "\"");
}

static void put_count(struct metrics_text *text, const char *name, const struct metrics_export *of,
                      const char *labels, uint64_t count)
{
    begin(text, name, of);
    metrics_put(text, "%s}", labels);
    metrics_put_count(text, count);
}

static void put_seconds(struct metrics_text *text, const char *name,
                        const struct metrics_export *of, const char *labels, uint64_t ns)
{
    begin(text, name, of);
    metrics_put(text, "%s}", labels);
    metrics_put_seconds(text, ns);
}

void metrics_put_histogram(struct metrics_text *text, const char *name, const char *labels,
                           const struct metrics_histogram *histogram)
{
    for (unsigned i = 0; i < METRICS_BOUNDS; i++) {
        metrics_put(text, "nbdcrypt_%s_bucket{%sle=\"%.9g\"}", name, labels,
                    (double)metrics_bound_us(i) / 1e6);
        metrics_put_count(text, histogram->below[i]);
    }
    metrics_put(text, "nbdcrypt_%s_bucket{%sle=\"+Inf\"}", name, labels);
    metrics_put_count(text, histogram->count);
    int length = (int)strlen(labels) - (labels[0] != '\0');
    const char *open = length > 0 ? "{" : "", *close = length > 0 ? "}" : "";
    metrics_put(text, "nbdcrypt_%s_sum%s%.*s%s", name, open, length, labels, close);
    metrics_put_seconds(text, histogram->sum_ns);
    metrics_put(text, "nbdcrypt_%s_count%s%.*s%s", name, open, length, labels, close);
    metrics_put_count(text, histogram->count);
}

/* ---- families: each of all exports ---- */

typedef void put_fn(struct metrics_text *text, const struct metrics_export *of);

static void requests(struct metrics_text *text, const struct metrics_export *of)
{
    char labels[32];

    for (unsigned op = 0; op < METRICS_OPS && of->has_counts; op++) {
        snprintf(labels, sizeof labels, ",op=\"%s\"", metrics_op_name((enum metrics_op)op));
        put_count(text, "requests_total", of, labels, of->requests[op]);
    }
}

/* Those that there were, and errors of storage from the start: the first one is to be seen, too. */
static void errors(struct metrics_text *text, const struct metrics_export *of)
{
    const unsigned eio = board_error_index(NBD_EIO);
    char labels[64];

    for (unsigned op = 0; op < METRICS_OPS && of->has_counts; op++)
        for (unsigned i = 0; i < BOARD_ERRORS; i++) {
            if (of->errors[op][i] == 0 && !(i == eio && op <= METRICS_FLUSH))
                continue;
            snprintf(labels, sizeof labels, ",op=\"%s\",errno=\"%s\"",
                     metrics_op_name((enum metrics_op)op), board_error_name(i));
            put_count(text, "request_errors_total", of, labels, of->errors[op][i]);
        }
}

static void bytes(struct metrics_text *text, const struct metrics_export *of)
{
    if (!of->has_counts)
        return;
    put_count(text, "bytes_total", of, ",direction=\"read\"", of->read_bytes);
    put_count(text, "bytes_total", of, ",direction=\"write\"", of->written_bytes);
}

static void durations(struct metrics_text *text, const char *name, const struct metrics_export *of,
                      const struct metrics_histogram *histograms)
{
    struct metrics_text labels = { .openmetrics = false };

    for (unsigned op = 0; op < METRICS_OPS; op++) {
        labels.length_bytes = 0;
        begin(&labels, "", of);
        metrics_put(&labels, ",op=\"%s\",%c", metrics_op_name((enum metrics_op)op), '\0');
        text->failed |= labels.failed;
        if (!labels.failed)
            metrics_put_histogram(text, name, strchr(labels.bytes, '{') + 1, &histograms[op]);
    }
    metrics_text_free(&labels);
}

static void request_durations(struct metrics_text *text, const struct metrics_export *of)
{
    if (of->durations != NULL)
        durations(text, "request_duration_seconds", of, of->durations->request);
}

static void backend_durations(struct metrics_text *text, const struct metrics_export *of)
{
    if (of->durations != NULL)
        durations(text, "backend_duration_seconds", of, of->durations->backend);
}

static void in_flight(struct metrics_text *text, const struct metrics_export *of)
{
    put_count(text, "requests_in_flight", of, "", of->in_flight);
}

static void oldest(struct metrics_text *text, const struct metrics_export *of)
{
    put_seconds(text, "oldest_request_seconds", of, "", of->oldest_ns);
}

static void slow(struct metrics_text *text, const struct metrics_export *of)
{
    if (of->has_counts)
        put_count(text, "slow_requests_total", of, "", of->slow);
}

static void throttled(struct metrics_text *text, const struct metrics_export *of)
{
    if (of->has_counts)
        put_seconds(text, "throttled_seconds_total", of, "", of->throttled_ns);
}

/* "limit-read-iops" -> "read-iops" */
static void limits(struct metrics_text *text, const struct metrics_export *of)
{
    char labels[64];

    for (unsigned kind = 0; kind < LIMIT_KINDS; kind++) {
        if (of->limits[kind] == 0)
            continue;
        snprintf(labels, sizeof labels, ",limit=\"%s\"",
                 limit_kind_name((enum limit_kind)kind) + sizeof "limit-" - 1);
        put_count(text, "limit_per_second", of, labels, of->limits[kind]);
    }
}

static void group_weight(struct metrics_text *text, const struct metrics_export *of)
{
    if (of->group == NULL)
        return;
    begin(text, "limit_group_weight", of);
    metrics_put(text, ",group=\"");
    metrics_put_label(text, limit_group_name(of->group));
    metrics_put(text, "\"}");
    metrics_put_count(text, of->weight);
}

static void crypto_bytes(struct metrics_text *text, const struct metrics_export *of)
{
    if (!of->has_counts)
        return;
    put_count(text, "crypto_bytes_total", of, ",direction=\"decrypt\"", of->crypto[0].bytes);
    put_count(text, "crypto_bytes_total", of, ",direction=\"encrypt\"", of->crypto[1].bytes);
}

static void crypto_seconds(struct metrics_text *text, const struct metrics_export *of)
{
    if (!of->has_counts)
        return;
    put_seconds(text, "crypto_seconds_total", of, ",direction=\"decrypt\"", of->crypto[0].ns);
    put_seconds(text, "crypto_seconds_total", of, ",direction=\"encrypt\"", of->crypto[1].ns);
}

static void connections(struct metrics_text *text, const struct metrics_export *of)
{
    put_count(text, "connections", of, "", of->connections);
}

static void attachments(struct metrics_text *text, const struct metrics_export *of)
{
    if (of->has_counts)
        put_count(text, "attachments_total", of, "", of->attached);
}

static void size(struct metrics_text *text, const struct metrics_export *of)
{
    if (of->open)
        put_count(text, "export_size_bytes", of, "", of->size_bytes);
}

static void state(struct metrics_text *text, const struct metrics_export *of)
{
    if (of->name == NULL)
        return;
    put_count(text, "export_state", of, ",state=\"serving\"", of->open && !of->suspended);
    put_count(text, "export_state", of, ",state=\"missing\"", !of->open);
    put_count(text, "export_state", of, ",state=\"suspended\"", of->open && of->suspended);
}

static void backend_up(struct metrics_text *text, const struct metrics_export *of)
{
    if (of->open)
        put_count(text, "backend_up", of, "", !of->backend_lost);
}

static void info(struct metrics_text *text, const struct metrics_export *of)
{
    char labels[192];

    if (!of->open)
        return;
    snprintf(labels, sizeof labels, ",uuid=\"%s\",cipher=\"%s\",backend=\"%s\"", of->uuid,
             of->cipher[0] != '\0' ? of->cipher : "none", of->backend);
    put_count(text, "export_info", of, labels, 1);
}

static const struct family {
    enum metrics_type type;
    const char *name, *help;
    put_fn *put;
} families[] = {
    { METRICS_GAUGE, "export_info", "What an export is.", info },
    { METRICS_GAUGE, "export_state", "1 for the state that an export is in.", state },
    { METRICS_GAUGE, "export_size_bytes", "The size of the disk as clients see it.", size },
    { METRICS_COUNTER, "requests", "Requests that were answered.", requests },
    { METRICS_COUNTER, "request_errors", "Requests that failed, by the error that clients got.",
      errors },
    { METRICS_COUNTER, "bytes", "Bytes that clients read and wrote.", bytes },
    { METRICS_HISTOGRAM, "request_duration_seconds", "From the header of a request to its answer.",
      request_durations },
    { METRICS_HISTOGRAM, "backend_duration_seconds",
      "Of that, in the storage and the layers before it, of requests that succeeded.",
      backend_durations },
    { METRICS_GAUGE, "requests_in_flight", "Requests that have not been answered.", in_flight },
    { METRICS_GAUGE, "oldest_request_seconds", "How long the oldest of them has been in flight.",
      oldest },
    { METRICS_COUNTER, "slow_requests", "Requests that took longer than slow-request allows.",
      slow },
    { METRICS_COUNTER, "throttled_seconds", "For how long limits have held requests back.",
      throttled },
    { METRICS_GAUGE, "limit_per_second", "Limits of an export: requests, or bytes.", limits },
    { METRICS_GAUGE, "limit_group_weight", "The part of an export in the limits of its group.",
      group_weight },
    { METRICS_COUNTER, "crypto_bytes", "Bytes that were encrypted and decrypted.", crypto_bytes },
    { METRICS_COUNTER, "crypto_seconds", "How long that took, of which one call in 64 is measured.",
      crypto_seconds },
    { METRICS_GAUGE, "connections", "Clients that are attached.", connections },
    { METRICS_COUNTER, "attachments", "Clients that have attached an export.", attachments },
    { METRICS_GAUGE, "backend_up", "Whether the storage is there.", backend_up },
};

void metrics_put_exports(struct metrics_text *text, const struct metrics_snapshot *snapshot)
{
    char name[64];

    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        const struct family *family = &families[i];

        snprintf(name, sizeof name, "nbdcrypt_%s", family->name);
        metrics_family(text, family->type, name, family->help);
        for (size_t k = 0; k < snapshot->count; k++)
            family->put(text, &snapshot->exports[k]);
        family->put(text, &snapshot->others);
    }
}
