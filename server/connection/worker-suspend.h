/* What a worker does when the key of an export goes for a time, and when it is there again: as in
 * worker-exports.h. */
#ifndef NBDCRYPT_WORKER_SUSPEND_H
#define NBDCRYPT_WORKER_SUSPEND_H

#include "server/connection/worker.h"

#define WORKER_SUSPEND_SECONDS_MAX 5u

struct worker_suspend {
    struct loop_message message; /* for this file */
    struct loop_timer look;
    unsigned looks;
    bool cut;    /* those who did not end in time are being ended */
    bool scrubs; /* transports have been told to wipe what they keep */
    struct worker *worker;
    struct export *export;
    unsigned left; /* connections with requests that are under way still, on storage that hangs */
    int code;      /* of worker_resume_export(): 0; -ENOMEM and the like */
    void (*done)(struct worker_suspend *suspend);
};

/* From now on no command of its clients is begun.  `done` is called when none is under way, the
 * cipher is gone, and with it what was in buffers.  Connections whose commands take longer than
 * WORKER_SUSPEND_SECONDS_MAX are ended: a client may have stopped in the middle of one. */
void worker_suspend_export(struct worker *worker, struct worker_suspend *suspend);
/* The key is there again: its clients go on.  A failure leaves it suspended here. */
void worker_resume_export(struct worker *worker, struct worker_suspend *suspend);

#endif
