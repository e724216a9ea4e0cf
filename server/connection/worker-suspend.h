/* What a worker does when the key of an export goes for a time, and when it is there again: as in
 * worker-exports.h. */
#ifndef NBDCRYPT_WORKER_SUSPEND_H
#define NBDCRYPT_WORKER_SUSPEND_H

#include "server/connection/worker.h"

#define WORKER_SUSPEND_SECONDS_MAX 20u

struct worker_suspend {
    struct loop_message message; /* for this file */
    struct loop_timer look;
    unsigned looks;
    struct worker *worker;
    struct export *export;
    int code; /* 0; -EBUSY: a client stopped in the middle of a command; -ENOMEM and the like */
    void (*done)(struct worker_suspend *suspend);
};

/* From now on no command of its clients is begun.  `done` is called when none is under way, the
 * cipher is gone, and with it what was in buffers; or with -EBUSY when that took too long. */
void worker_suspend_export(struct worker *worker, struct worker_suspend *suspend);
/* The key is there again: its clients go on.  A failure leaves it suspended here. */
void worker_resume_export(struct worker *worker, struct worker_suspend *suspend);

#endif
