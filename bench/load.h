/* A run: threads, each with an event loop and its share of the connections, that keep a server busy
 * for a while, and what was measured in that time. */
#ifndef NBDCRYPT_LOAD_H
#define NBDCRYPT_LOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "bench/histogram.h"
#include "bench/load-connection.h"
#include "bench/verify.h"
#include "bench/workload.h"
#include "server/base/error.h"

struct load_config {
    struct load_connection *clients; /* detached; so they are again when a run has ended well */
    unsigned client_count, thread_count;
    struct workload_config workload;
    uint64_t warm_up_ns;   /* before anything is counted */
    uint64_t time_ns;      /* that is measured; 0: until `count` or the passes are over */
    uint64_t count;        /* of requests that are measured; 0: any */
    unsigned timeout_s;    /* without a single answer: the run fails */
    pid_t server_pid;      /* 0: nobody's CPU time is looked at */
    struct verify *verify; /* NULL: payloads are neither made nor looked at */
    bool read_back;        /* nothing is written any more: what `verify` knows is compared, once */
    bool show_progress;
    const char *progress_title;
};

struct load_command_result {
    uint64_t requests, bytes;
    struct histogram
        latency; /* ns, from when a request was handed to the kernel to when its answer was taken */
};

struct load_result {
    struct load_command_result commands[WORKLOAD_COMMANDS];
    struct load_command_result total;
    uint64_t elapsed_ns;
    uint64_t own_cpu_ns, server_cpu_ns;
    bool has_server_cpu;
    bool interrupted; /* by SIGINT or SIGTERM, before its end */
};

/* Blocks the signals that a run waits for (SIGINT, SIGTERM, and SIGUSR1 from its own threads):
 * before the first run, while there is one thread. */
void load_block_signals(void);

/* Runs it.  `result` is large and all zero.  -errno with a sentence: a connection failed, the
 * server refused a request or did not answer in time. */
NODISCARD int load_run(const struct load_config *config, struct load_result *result,
                       struct error *err);

#endif
