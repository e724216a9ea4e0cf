/* A call that a filter of seccomp.h refuses comes here, on the thread that made it, by SIGSYS. */
#ifndef NBDCRYPT_SANDBOX_VIOLATION_H
#define NBDCRYPT_SANDBOX_VIOLATION_H

#include <stdbool.h>
#include <stdint.h>

#include "server/base/error.h"

/* `deadly`: it is told, and then the process ends by that signal, as it would have without us:
 * who had the signal before gets it.  Otherwise it fails with
 * EPERM.  The log has a limit for what one thread tries (log-limit.h). */
NODISCARD int sandbox_violation_watch(bool deadly, struct error *err);

uint64_t sandbox_violation_count(void);

#endif
