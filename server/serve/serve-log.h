/* The log of `serve`. */
#ifndef NBDCRYPT_SERVE_LOG_H
#define NBDCRYPT_SERVE_LOG_H

#include "server/base/log.h"
#include "server/serve/serve-options.h"

/* A command has the server for itself, and nobody else looks after it. */
bool serve_log_is_brought_along(const struct serve_options *options);
/* What is told: such a server does not talk about each client. */
enum log_level serve_log_level(const struct serve_options *options);

NODISCARD int serve_log_start(struct error *err);
/* Before _exit(): ends the audit log, and waits for the reader of the log, for a moment, to take
 * what it was not given yet. */
void serve_log_drain(void);
/* The same at the end of all threads. */
void serve_log_stop(void);

#endif
