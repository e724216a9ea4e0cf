/* Blocking work, off the event loops: a small pool of threads.
 *
 * The job is embedded in its owner, so that asking costs no memory.  `work` runs on a thread
 * of the pool and may block; then `done.event.fn(&job->done.event, job->done.result)` is
 * called on the thread of the loop that asked. */
#ifndef NBDCRYPT_OFFLOAD_H
#define NBDCRYPT_OFFLOAD_H

#include "server/loop/loop.h"

struct offload;

struct offload_job {
    void (*work)(struct offload_job *job); /* sets done.result */
    struct loop_message done;
    struct loop *loop; /* who asked */
    struct offload_job *next;
};

/* `nice`: by how much the threads yield to those of the loops when there are too few CPUs for all
 * (nice(2): 0 to 19). */
NODISCARD int offload_create(struct offload **out, unsigned threads, int nice, struct error *err);
/* Waits for the jobs that were given. */
void offload_destroy(struct offload *offload);

/* Any thread.  The caller has set work, done.event.fn and loop. */
void offload_run(struct offload *offload, struct offload_job *job);

#endif
