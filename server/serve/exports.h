/* The exports of a running server, and their changes.
 *
 * A thread of its own makes the changes, one at a time: it opens what is new, which may block,
 * hands the next set to the workers, waits until all of them use it, and lets go what is in it no
 * more. A change is a transaction: when a part of it fails before the workers are told, nothing has
 * changed.  Workers take no lock, and clients of other exports see nothing of it. */
#ifndef NBDCRYPT_EXPORTS_H
#define NBDCRYPT_EXPORTS_H

#include "server/serve/export-retry.h"
#include "server/serve/worker-thread.h"

struct exports;

struct exports_settings {
    struct export_opening *opening; /* what the server began with; must outlive it, as do: */
    struct export_set *set;         /* of these */
    const struct board *board;      /* on which they are */
    struct worker_thread **workers; /* opening->workers */
};

/* What becomes of the clients of an export that goes. */
enum exports_farewell {
    EXPORTS_SAFE,  /* there must be none: -EBUSY */
    EXPORTS_DRAIN, /* they may stay for some time; no others come */
    EXPORTS_NOW,   /* what is in flight is answered, and they are told to go */
};

/* A new one, or what one that stays is to be from now on.  The settings, and what they point to,
 * are freed by `free_settings` when the export is closed or gets others, or when the change
 * fails. */
struct exports_addition {
    struct export_settings *settings;
    void (*free_settings)(struct export_settings *settings);
};

/* One change, for exports_submit().  Of one name it has one part, but that it may go and another
 * one come: then on another image, for that of the old one is in use until it has gone, and its
 * clients are told to go at once. */
struct exports_change {
    struct exports_addition *added;
    size_t added_count;
    const char **removed;
    size_t removed_count;
    enum exports_farewell farewell; /* of those */
    unsigned drain_seconds;         /* EXPORTS_DRAIN: then they are told to go */
    /* What differs from before is what export_alter() can give it. */
    struct exports_addition *altered;
    size_t altered_count;
    bool rescan; /* look whether images have grown */

    /* Called on the thread of the exports when the change has been made, before `done`, which may
     * come much later; must not block.  NULL: nobody asks. */
    void (*published)(struct exports_change *change);
    /* Called on the thread of the exports when the change has been made and `removed` are closed,
     * or has failed; must not block. */
    void (*done)(struct exports_change *change);
    int code; /* 0; -errno: nothing has changed, and why: -EEXIST (the name is there), -ENOENT,
               * -EBUSY (`clients` of them), -ESHUTDOWN (the server is ending), or what opening
               * gave; -EIO: it was made, but an export that went could not make its data durable */
    struct error error;
    unsigned clients;

    struct exports_change *next; /* for exports.c, as what follows */
    size_t leaving;
};

/* Takes over the set, unless it fails. */
NODISCARD int exports_create(struct exports **out, const struct exports_settings *settings,
                             struct error *err);

/* Before the first change: who tries those again that could not be opened; NULL: nobody. */
void exports_set_retry(struct exports *exports, struct export_retry *retry);

/* What clients see now, to be read for a moment: a change waits for exports_unlock(). */
const struct export_set *exports_lock(struct exports *exports);
void exports_unlock(struct exports *exports);

/* Any thread; does not block.  The change belongs to it until `done`. */
void exports_submit(struct exports *exports, struct exports_change *change);

/* The main thread: no change is begun from here on, and those that have not been made fail.  Does
 * not block.  The workers may end after it. */
void exports_stop(struct exports *exports);

/* After exports_stop(), when the workers have been joined.  False: an export is being opened, which
 * can't be interrupted; the process has to leave that thread behind, and end by _exit(). */
NODISCARD bool exports_join(struct exports *exports);

/* After exports_join(), on the thread of this loop: makes durable what clients wrote.  Failures are
 * told; 0 or -EIO. */
int exports_flush(struct exports *exports, struct loop *loop);
/* After that, and when nothing is asked of storage any more: closes all that are left. */
void exports_close(struct exports *exports);

/* After that, when the thread was joined; NULL is fine. */
void exports_free(struct exports *exports);

#endif
