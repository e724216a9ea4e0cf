/* Making durable what was written, for all who ask, one sync at a time; and what comes of it when
 * that fails.
 *
 * Storage tells of written data that is lost once.  The kernel drops the pages that it could not
 * write, and the next fdatasync(2) on the descriptor gets the error, whoever calls it; the one
 * after that gets 0 (errseq_t, and "Handling errors" in fsync(2)).  librbd's cache and a plugin
 * with a descriptor of its own do the same.  All clients of an image share one descriptor, so who
 * is told is chance.
 *
 * So a failure counts for all, and for good: from then on FLUSH and FUA get EIO, until the image is
 * opened again, and the log says so once.  And one sync is under way at a time: of two, the one may
 * take the error while the other succeeds, and that would be answered before the first is known to
 * have failed.  Who comes while a sync is under way waits for the next, which is for all of them
 * together:
 *
 *     A joins: [ sync for A ]
 *     B joins:    .... waits [ sync for B and C ]
 *     C joins:          .... waits
 *
 * A backend of this kind has a `struct group_sync` in its stage (stage.sync).  It does what a
 * request asks for, without FUA, and calls group_sync_join() when only durability is missing.  No
 * other sync may be asked of the storage beside.  A backend that can tell each client what it lost
 * needs none of this (remote-ledger.h). */
#ifndef NBDCRYPT_GROUP_SYNC_H
#define NBDCRYPT_GROUP_SYNC_H

#include <pthread.h>

#include "server/block/request.h"

/* Makes [start_bytes, end_bytes) durable, or more; on the leader's thread.  Calls
 * group_sync_ended(leader, ...) in the end, inline or later. */
typedef void group_sync_start_fn(struct request *leader, uint64_t start_bytes, uint64_t end_bytes);

struct group_sync {
    char *image; /* for the message; NULL: whoever asks tells it himself */
    group_sync_start_fn *start;
    pthread_mutex_t mutex;  /* for all that follows */
    int error;              /* of the sync that failed, a positive errno: it was the last */
    struct request *leader; /* on whose thread a sync is under way; NULL: none is */
    struct request *joined; /* whom it is for, too; by request.next, as the next one */
    struct request *waiting, **waiting_end;
};

/* `image` is copied, and NULL where nobody is served: then the log tells nothing.  -ENOMEM. */
NODISCARD int group_sync_init(struct group_sync *sync, const char *image,
                              group_sync_start_fn *start, struct error *err);
/* Also of one that is zero. */
void group_sync_destroy(struct group_sync *sync);

/* A FLUSH, or a WRITE, TRIM or ZERO with FUA that is done but for being durable: completes it when
 * it is, or can't be.  The request is at its backend (req->backend); its `job` and `next` are in
 * use until then. */
void group_sync_join(struct request *req);

/* Any thread: of the sync that failed, a positive errno; 0: none has. */
int group_sync_error(struct group_sync *sync);

/* `error`: 0 or a positive errno; anything but 0 is for good. */
void group_sync_ended(struct request *leader, int error);

#endif
