/* The signals that end or reload the server, and those that it has no use for, set up so that
 * programs which somebody else in this process starts (plugins do, by popen() for instance) begin
 * with default signals: what is ignored or blocked here would stay so for them. */
#ifndef NBDCRYPT_SIGNALS_H
#define NBDCRYPT_SIGNALS_H

#include <signal.h>

#include "server/base/error.h"

/* At the start of main(): a client that has gone (SIGPIPE) and a limit on the size of files
 * (SIGXFSZ) are errors of the call.  They are caught, not ignored. */
void signals_of_writing_are_errors(void);

/* Before any thread exists: SIGTERM, SIGINT, SIGHUP and SIGUSR1 are blocked here and in the threads
 * to come.  Returns a descriptor that is readable when some of the first three have arrived, or
 * -errno; SIGUSR1 is for server/report/guard.h. */
NODISCARD int signals_watch(struct error *err);
/* From now on they arrive, on the calling thread. */
void signals_arrive(void);
/* The number of one that has arrived; 0: no more of them, and the descriptor is not readable. */
int signals_next(void);
/* Blocked again, and the descriptor is closed. */
void signals_unwatch(void);

/* Around what may start programs or threads that are not ours: where they are blocked, they
 * are not until signals_hold().  One that comes meanwhile stays pending all the same, for whoever
 * waits for it. */
void signals_let_through(sigset_t *before);
void signals_hold(const sigset_t *before);

#endif
