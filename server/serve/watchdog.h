/* Tells the service manager that all workers are alive, as often as it wants to hear that
 * (WATCHDOG_USEC: sd_watchdog_enabled(3)).  When one of them hangs, nothing is told, and the
 * service manager starts the server anew. */
#ifndef NBDCRYPT_WATCHDOG_H
#define NBDCRYPT_WATCHDOG_H

#include "server/serve/worker-thread.h"

struct watchdog;

/* Main thread, when the workers run; *out is NULL when nobody wants to hear.  `workers` outlive
 * watchdog_stop(). */
NODISCARD int watchdog_start(struct watchdog **out, struct loop *loop,
                             struct worker_thread *const *workers, unsigned worker_count,
                             struct error *err);
/* Main thread, before the workers are told to end; NULL is fine. */
void watchdog_stop(struct watchdog *watchdog);
/* When the workers and the loop have ended; NULL is fine. */
void watchdog_free(struct watchdog *watchdog);

#endif
