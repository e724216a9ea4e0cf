/* The text of metrics as it grows: Prometheus' text format 0.0.4, or OpenMetrics 1.0, which differ
 * in what counters are called in their heading, and at the end.  Without memory it stays as it is,
 * and `failed` says so. */
#ifndef NBDCRYPT_METRICS_TEXT_H
#define NBDCRYPT_METRICS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct metrics_text {
    char *bytes; /* the caller's to free */
    size_t length_bytes, room_bytes;
    bool openmetrics, failed;
};

enum metrics_type { METRICS_COUNTER, METRICS_GAUGE, METRICS_HISTOGRAM };

void metrics_put(struct metrics_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The heading of a family, whose samples follow: "nbdcrypt_requests" of nbdcrypt_requests_total. */
void metrics_family(struct metrics_text *text, enum metrics_type type, const char *name,
                    const char *help);
/* The value of a label: what is not clean UTF-8 or is a control character becomes \xNN. */
void metrics_put_label(struct metrics_text *text, const char *value);
/* " 12\n" */
void metrics_put_count(struct metrics_text *text, uint64_t count);
/* " 1.250000000\n" */
void metrics_put_seconds(struct metrics_text *text, uint64_t ns);
void metrics_end(struct metrics_text *text);
void metrics_text_free(struct metrics_text *text);

#endif
