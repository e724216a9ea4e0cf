/* Who watches a server: the guard, which makes reports, and the service manager's watchdog. */
#ifndef NBDCRYPT_SERVE_GUARD_H
#define NBDCRYPT_SERVE_GUARD_H

#include "server/serve/serve-params.h"
#include "server/serve/watchdog.h"

/* Before the sandbox: makes the folder of reports, and reads what lies outside of it. */
void serve_guard_prepare(const struct report_options *options);
/* Main thread, before there are others, with signals blocked (signals.h): SIGUSR1, crashes and
 * requests that hang have reports from now on. */
NODISCARD int serve_guard_start(const struct report_options *options, const struct board *board,
                                struct error *err);
/* When the workers run: they and the main thread are to answer.  *watchdog: see watchdog.h. */
NODISCARD int serve_guard_watch(struct watchdog **watchdog, struct loop *loop,
                                struct worker_thread *const *workers, unsigned worker_count,
                                struct error *err);
/* Before the workers are told to end, which is no accident; `board` may be NULL. */
void serve_guard_unwatch(struct watchdog *watchdog, const struct board *board);
/* Before anything goes that a report looks at; the workers have ended. */
void serve_guard_stop(void);

#endif
