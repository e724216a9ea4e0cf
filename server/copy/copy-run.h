/* The engine of compare and convert: two pipelines, the same as those of exports, on several
 * threads.
 *
 *     extents (copy-ranges.h) -> queue (copy-queue.h) -> threads (copy-worker.h)
 *     this thread                                        read, compare or write
 */
#ifndef NBDCRYPT_COPY_RUN_H
#define NBDCRYPT_COPY_RUN_H

#include "server/copy/copy-progress.h"
#include "server/copy/copy-worker.h"

/* All in front of `done_bytes` is durable.  -errno with a message ends the copy. */
typedef int copy_checkpoint_fn(void *context, uint64_t done_bytes, struct error *err);

struct copy_job {
    struct copy_terms terms;
    const char *names[COPY_ENDS]; /* for messages */
    uint64_t start_bytes, end_bytes;
    uint64_t bandwidth_bytes; /* a second, of what is read or written; 0: any */
    struct copy_progress *progress;
    copy_checkpoint_fn *checkpoint; /* every some seconds, and at the end, whatever that is; NULL:
                                     * the target is flushed at the end, and that is all */
    void *context;
};

struct copy_result {
    bool interrupted;          /* by SIGINT, SIGTERM or SIGHUP, which the caller has to tell of */
    uint64_t difference_bytes; /* of a comparison: the first one; UINT64_MAX: there is none */
    uint64_t low_bytes;        /* all in front of it is done, and durable if it is a copy */
};

/* From now on SIGINT, SIGTERM and SIGHUP interrupt copy_run(), the first time; the second one ends
 * the program. */
void copy_run_watch_signals(void);

/* Blocks.  0: it went through, or was interrupted, or has found a difference.  -errno: reading or
 * writing failed; the message names the end. */
NODISCARD int copy_run(struct copy_result *out, const struct copy_job *job, struct error *err);

#endif
