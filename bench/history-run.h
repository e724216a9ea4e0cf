/* nbdcrypt-bench --check-history: clients that read and write the same places all at once, connect
 * again when the server goes away, and judge every answer (history.h).
 *
 * Each connection has a thread, which sends some commands together, receives their answers, and
 * sends the next.  Without CAN_MULTI_CONN there is one connection. */
#ifndef NBDCRYPT_HISTORY_RUN_H
#define NBDCRYPT_HISTORY_RUN_H

#include "bench/bench-options.h"
#include "server/base/error.h"
#include "server/nbd/nbd-uri.h"

/* Runs, reads all back, and prints what was found.  -EIO: the server has answered wrongly; other
 * -errno: it could not be tried. */
NODISCARD int history_run(const struct bench_options *options, const struct nbd_uri *uri,
                          struct error *err);

#endif
