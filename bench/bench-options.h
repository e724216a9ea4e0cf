/* The command line of nbdcrypt-bench. */
#ifndef NBDCRYPT_BENCH_OPTIONS_H
#define NBDCRYPT_BENCH_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "bench/workload.h"
#include "server/base/error.h"

struct bench_options {
    const char *uri;
    unsigned connections, depth, threads;
    const char *block_text; /* SIZE or MIN-MAX */
    uint32_t block_min_bytes, block_max_bytes;
    unsigned write_percent, trim_percent, zero_percent;
    const char *pattern_text; /* sequential, random, zipf, zipf:THETA */
    enum workload_pattern pattern;
    double theta;
    uint64_t offset_bytes, size_bytes;    /* size 0: to the end */
    unsigned passes, timeout_s;           /* passes 0: not by them */
    const char *time_text, *warm_up_text; /* seconds, such as 0.5 */
    uint64_t time_ms, warm_up_ms;         /* time 0: not by it */
    uint64_t count;                       /* 0: not by it */
    const char *client_text;              /* own or libnbd */
    bool libnbd;
    bool simple, no_extended_headers;
    bool verify, read_back, check_history;
    const char *state_path;
    uint64_t seed;       /* 0: none was given */
    unsigned server_pid; /* 0: none */
    bool json, help, version;
};

/* -EINVAL with a sentence: the command line makes no sense.  After --help and --version nothing
 * else is checked. */
NODISCARD int bench_options_parse(struct bench_options *out, int argc, char **argv,
                                  struct error *err);
void bench_options_print_help(FILE *out);

#endif
