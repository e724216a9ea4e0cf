/* The exports of a running server, and their changes.
 *
 * A thread of its own makes the changes, one at a time: it has what is new opened, on other
 * threads, for that may take long or never end, while other changes are made; hands the next set to
 * the workers, waits until all of them use it, and lets go what is in it no more. A change is a
 * transaction: when a part of it fails before the workers are told, nothing has changed.  Workers
 * take no lock, and clients of other exports see nothing of it. */
#ifndef NBDCRYPT_EXPORTS_H
#define NBDCRYPT_EXPORTS_H

#include "server/serve/export-retry.h"
#include "server/serve/exports-change.h"
#include "server/serve/worker-thread.h"

struct exports;

struct exports_settings {
    struct export_opening *opening; /* what the server began with; must outlive it, as do: */
    struct export_set *set;         /* of these */
    const struct board *board;      /* on which they are */
    struct worker_thread **workers; /* opening->workers */
    unsigned open_timeout_seconds;  /* that one may take to be opened; 0: all it wants */
};

/* Takes over the set, unless it fails. */
NODISCARD int exports_create(struct exports **out, const struct exports_settings *settings,
                             struct error *err);

/* Before the first change: who tries those again that could not be opened; NULL: nobody. */
void exports_set_retry(struct exports *exports, struct export_retry *retry);

/* Of those that are opened from now on; any thread. */
void exports_set_open_timeout(struct exports *exports, unsigned seconds);

/* What clients see now, to be read for a moment: a change waits for exports_unlock(). */
const struct export_set *exports_lock(struct exports *exports);
void exports_unlock(struct exports *exports);

/* Any thread; does not block.  The change belongs to it until `done`. */
void exports_submit(struct exports *exports, struct exports_change *change);

/* The main thread: no change is begun from here on, and those that have not been made fail.  Does
 * not block.  The workers may end after it. */
void exports_stop(struct exports *exports);

/* After exports_stop(), when the workers have been joined.  False: something is under way that
 * can't be interrupted, such as the opening of an export; the process has to leave its thread
 * behind, and end by _exit(). */
NODISCARD bool exports_join(struct exports *exports);

/* After exports_join(), on the thread of this loop: makes durable what clients wrote.  Failures are
 * told; 0 or -EIO. */
int exports_flush(struct exports *exports, struct loop *loop);
/* After that, and when nothing is asked of storage any more: closes all that are left. */
void exports_close(struct exports *exports);

/* After that, when the thread was joined; NULL is fine. */
void exports_free(struct exports *exports);

#endif
