/* The connections of a benchmark, and what it will do with the export behind them. */
#ifndef NBDCRYPT_BENCH_SESSION_H
#define NBDCRYPT_BENCH_SESSION_H

#include <stdint.h>

#include "bench/bench-options.h"
#include "bench/load-connection.h"
#include "bench/verify.h"
#include "bench/workload.h"
#include "server/client/client-handshake.h"
#include "server/base/error.h"
#include "server/nbd/nbd-uri.h"

struct bench_session {
    const struct bench_options *options;
    const struct nbd_uri *uri;
    struct export_info info;
    struct load_connection *clients;
    unsigned client_count;
    struct workload_config workload;
    struct verify verify;
    bool has_verify;
};

/* Connects as often as the options say, checks that the export can do what they ask, and finds
 * the area.  -errno with a sentence; bench_session_close() is due in any case. */
NODISCARD int bench_session_open(struct bench_session *session, const struct bench_options *options,
                                 const struct nbd_uri *uri, struct error *err);
void bench_session_close(struct bench_session *session);

#endif
