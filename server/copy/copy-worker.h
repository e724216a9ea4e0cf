/* A thread of a copy: a loop with a layer of each end, and several pieces in flight. */
#ifndef NBDCRYPT_COPY_WORKER_H
#define NBDCRYPT_COPY_WORKER_H

#include "server/block/layer.h"
#include "server/copy/copy-queue.h"

#define COPY_WORKER_SLOTS 16u /* pieces in flight */

/* What becomes of zeros in the target of a copy. */
enum copy_zeros {
    COPY_ZEROS_WRITTEN, /* they are data like any other */
    COPY_ZEROS_PUNCHED, /* by ZERO, which may make holes */
    COPY_ZEROS_SKIPPED, /* there are none but zeros in the target */
};

struct copy_terms {
    bool compare; /* both ends are read; else the target is written */
    enum copy_zeros zeros;
    struct stage *ends[COPY_ENDS]; /* tops of pipelines */
};

struct copy_worker;

/* Its thread runs when this returns; `first_slot`: of the COPY_WORKER_SLOTS of the queue that are
 * its own; `others`: so many like it there are.  `terms` must stay. */
NODISCARD int copy_worker_create(struct copy_worker **out, struct copy_queue *queue,
                                 const struct copy_terms *terms, unsigned first_slot,
                                 unsigned others, struct error *err);
/* There may be something in the queue. */
void copy_worker_wake(struct copy_worker *worker);
/* What it has written becomes durable, if the target can do that; copy_queue_wake() follows. */
void copy_worker_flush(struct copy_worker *worker);
/* Whether that goes on; *error: a positive errno of the last one, or 0. */
bool copy_worker_is_flushing(const struct copy_worker *worker, int *error);
/* Ends it.  Nothing of it is in flight. */
void copy_worker_destroy(struct copy_worker *worker);

#endif
