/* The FLUSHes and the writes with FUA that are under way at a server, on all connections to it.
 *
 * A server may tell once only that it could not make data durable: one of those that are under way
 * gets the error, and another succeeds although it was its data that is lost.  So one that
 * succeeds counts when all that were under way beside it have ended, and none of them has failed,
 * or is lost with its connection:
 *
 *     FLUSH      [ ----------------- error ]
 *     FUA             [ ---- good ]  waits | has to be done again
 *
 * Its slot stays taken until then: `held`.  Those that ask for nothing to be durable never come
 * here. */
#ifndef NBDCRYPT_REMOTE_SYNCS_H
#define NBDCRYPT_REMOTE_SYNCS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/loop/loop.h"

enum remote_sync_state { REMOTE_SYNC_NONE, REMOTE_SYNC_UNDER_WAY, REMOTE_SYNC_HELD };

/* In a slot: a command that makes something durable.  NONE at first. */
struct remote_sync {
    enum remote_sync_state state;
    struct remote_sync *before, *after; /* under way */
    uint64_t number;                    /* of its own; held: of the last one that it waits for */
    uint64_t failures;                  /* of others, when it was sent */
    bool in_doubt; /* it succeeded, and one that was under way beside it did not */
};

/* A link, which waits until some of its own are held no more: a message to `loop`. */
struct remote_sync_waiter {
    struct loop *loop;
    struct loop_message message;
    struct remote_sync_waiter *next;
    uint64_t number; /* of the last one that the first of its own waits for */
    bool listed, posted;
};

/* Zeroed, but for remote_syncs_init(). */
struct remote_syncs {
    pthread_mutex_t mutex;            /* for all that follows */
    struct remote_sync *first, *last; /* under way, in the order in which they were sent */
    struct remote_sync_waiter *waiters;
    uint64_t begun, failures;
};

void remote_syncs_init(struct remote_syncs *syncs);
void remote_syncs_destroy(struct remote_syncs *syncs);

/* ---- any thread ---- */

/* It is about to be sent. */
void remote_syncs_begin(struct remote_syncs *syncs, struct remote_sync *sync);
/* Answered, with success.  False: it is held, and the waiter hears of it when that may be over. */
bool remote_syncs_succeeded(struct remote_syncs *syncs, struct remote_sync *sync,
                            struct remote_sync_waiter *waiter);
/* The same of one that is held. */
bool remote_syncs_are_over(struct remote_syncs *syncs, struct remote_sync *sync,
                           struct remote_sync_waiter *waiter);
/* Nobody knows what has been lost with it; or it can't be that something was. */
void remote_syncs_failed(struct remote_syncs *syncs, struct remote_sync *sync);
void remote_syncs_dropped(struct remote_syncs *syncs, struct remote_sync *sync);

/* ---- the waiter's thread ---- */

/* Its message is here. */
void remote_syncs_heard(struct remote_syncs *syncs, struct remote_sync_waiter *waiter);
/* It waits no more; a message may be on its way still (waiter->posted). */
void remote_syncs_forget(struct remote_syncs *syncs, struct remote_sync_waiter *waiter);

#endif
