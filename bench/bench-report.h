/* What a run has measured, as a table or as JSON. */
#ifndef NBDCRYPT_BENCH_REPORT_H
#define NBDCRYPT_BENCH_REPORT_H

#include <stdint.h>
#include <stdio.h>

#include "bench/bench-options.h"
#include "bench/load.h"
#include "server/client/client-handshake.h"

struct bench_report {
    const struct bench_options *options;
    const char *export_name;
    const struct export_info *info;
    const struct workload_config *workload;
    const struct load_result *result;
    const struct verify *verify; /* NULL: nothing was verified */
};

void bench_report_table(FILE *out, const struct bench_report *report);
/* One object; its members are described in nbdcrypt-bench(1), and stay. */
void bench_report_json(FILE *out, const struct bench_report *report);

#endif
