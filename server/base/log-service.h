/* The log of a server: no thread that serves waits for whoever reads standard error. Messages go
 * through a queue to a thread of their own, which escapes, limits and writes them, with the time,
 * the process and the level in front, or the level alone where the journal adds the rest
 * (sd-daemon(3)). What finds no place in the queue is counted, and the number is told. */
#ifndef NBDCRYPT_LOG_SERVICE_H
#define NBDCRYPT_LOG_SERVICE_H

#include "server/base/error.h"

/* From now on log_write() goes through the thread. */
NODISCARD int log_service_start(struct error *err);
/* Waits until all that was said so far is written, at most `timeout_ms`. Any thread; nothing to do
 * when the service does not run. */
void log_service_drain(unsigned timeout_ms);
/* Drains, and ends the thread; log_write() writes by itself again. Where the reader does not take
 * what is there within `timeout_ms`, the thread is left behind and the log stays silent. */
void log_service_stop(unsigned timeout_ms);

#endif
