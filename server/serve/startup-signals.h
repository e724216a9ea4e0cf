/* SIGTERM and SIGINT while the server starts: then the main thread may be busy for long (a key is
 * derived, a person is asked, storage does not answer) and does not look at the descriptor at which
 * signals arrive.
 *
 * A thread looks at it, and ends the process by the signal: nothing has been written yet. */
#ifndef NBDCRYPT_STARTUP_SIGNALS_H
#define NBDCRYPT_STARTUP_SIGNALS_H

#include <pthread.h>
#include <stdbool.h>

#include "server/base/error.h"

struct early_end {
    bool watching;
    pthread_t thread;
    int started_fd;
    void (*clean_up)(void *context);
    void *context;
};

/* SIGTERM and SIGINT must be blocked.  `clean_up` removes what must not stay, on another thread. */
NODISCARD int startup_signals_watch(struct early_end *end, void (*clean_up)(void *context),
                                    void *context, struct error *err);

/* The start is over: signals wait from now on.  Nothing happens when none are watched. */
void startup_signals_stop(struct early_end *end);

#endif
