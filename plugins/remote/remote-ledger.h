/* What a remote server may have lost: the account that decides which FLUSHes may succeed.
 *
 * A server that ends may lose the writes that it had answered and not yet made durable.  A FLUSH
 * sent to its successor would succeed and mean nothing, so it has to fail.  The rules:
 *
 * 1. A write is a command of a client (WRITE, WRITE_ZEROES) as a whole, and is counted when its
 *    answer leaves: before that nothing was promised.  Its parts were sent to the server earlier,
 *    each in an epoch: the number of losses until then.  If one of them is of an epoch that is
 *    over, the write counts as lost when it is counted: what the server has dropped, it may have
 *    dropped before its answer to that part was here.
 * 2. FLUSHes go through one connection, the primary, which is made before the first write.  As
 *    long as it lives, the server is the same one; what it flushes covers all connections (NBD's
 *    CAN_MULTI_CONN; without that flag there is only the primary).
 * 3. When any connection is lost, all that was counted by then and not flushed counts as lost, and
 *    an epoch ends.  The same when the server fails to make something durable: it may have dropped
 *    more than that, and say so only once.
 * 4. A FLUSH has a mark: the count when it was received.  It fails while something is lost that
 *    its flusher (server/block/flusher.h) was not told of.  A flusher was told of the writes up to
 * the mark of any FLUSH of it that failed, and not of those that were answered meanwhile.
 * 5. Who comes later need not be told of what is settled.  That level rises when a flusher that
 *    was told goes on (it sends another FLUSH, or leaves in good order), and falls when one
 *    vanishes before that: perhaps it comes back and repeats its FLUSH.  Then it does not rise for
 * a flusher that was there before, which can't be the one; unless what had been answered when the
 *    other vanished was flushed before the loss.
 * 6. Replies on another connection are believed only if it was begun while the primary was
 *    connected, and as long as that lasts; the others' requests are sent again.  So no write
 *    is answered by a server that is older or newer than the primary's unless the primary's
 *    connection is lost too, which rule 3 sees.
 * 7. Writes with FUA and TRIM are not counted: the former are durable (where the server has no FUA
 *    each is followed by a FLUSH, both through the primary, and done again as a whole when that is
 *    lost in between, or something else was), the latter promises nothing.
 * 8. One FLUSH is under way at a time, and a FLUSH behind a write with FUA is one: of two, the one
 *    that succeeds might be answered before the one that failed, which the server may never tell
 *    again.  The same of FLUSHes and writes with FUA, of which several are under way:
 *    remote-syncs.h.
 *
 * It fails too often rather than too seldom: for instance when the lost part of a write had been
 * flushed before the write was answered, or when another connection breaks and the server lives.
 * What it can't see: a FLUSH that was on its way when a write was answered, and is received behind
 * that and fails, counts as having told of that write; who comes when a client has vanished is
 * taken for that client, so that of several which vanish those who come back after one was told are
 * not told themselves; a server that lives on as the primary's when its connections are made to
 * another one behind the same address; and what was answered before the ledger was made, when the
 * server has lost it since.
 *
 * Orders that matter, each so that one of two sees the other: a loss raises the epoch, then reads
 * the count; a write that is answered raises the count, then reads the epoch.  When the primary is
 * lost, the generation rises before the epoch; a reply on another connection is given its epoch
 * before the generation is looked at. */
#ifndef NBDCRYPT_REMOTE_LEDGER_H
#define NBDCRYPT_REMOTE_LEDGER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/block/flusher.h"

/* Zeroed at first. */
struct remote_ledger {
    atomic_uint_fast64_t answered;  /* writes so far */
    atomic_uint_fast64_t lost;      /* of those, the first so many may be lost, unless flushed */
    atomic_uint_fast64_t settled;   /* who comes now need not be told of the first so many */
    atomic_uint_fast64_t orphaned;  /* writes when a flusher vanished the last time */
    atomic_uint_fast64_t lost_from; /* the first so many are not lost, or that is settled */
    atomic_uint losses;
    atomic_uint generation; /* of the primary's connection; odd: it has none */
    atomic_uint vanished;   /* flushers */

    /* The primary's thread. */
    uint64_t flushed; /* the first so many are durable, unless they are missing */
    bool has_flushed; /* so are writes that were answered before this program was started */
    uint64_t missing; /* among the first so many some were lost */
};

/* ---- any thread ---- */

/* The epoch of a command that is about to be sent, or of a reply that is here, never 0; to be asked
 * for before remote_ledger_is_current(). */
uint32_t remote_ledger_epoch(struct remote_ledger *ledger);
/* Whether a reply on a connection that was begun in `generation` may be believed. */
bool remote_ledger_is_current(struct remote_ledger *ledger, unsigned generation);
/* Before connecting another than the primary, which makes sense only while that one is there. */
unsigned remote_ledger_generation(struct remote_ledger *ledger);
bool remote_ledger_has_primary(struct remote_ledger *ledger);
/* The answers to `count` writes leave; no part of them is older than `oldest_epoch`. */
void remote_ledger_answered(struct remote_ledger *ledger, unsigned count, uint32_t oldest_epoch);
/* A connection, not the primary's, that was begun in `generation` is gone. */
void remote_ledger_connection_lost(struct remote_ledger *ledger, unsigned generation);
/* The server has answered a FLUSH, or a write with FUA, with an error. */
void remote_ledger_sync_failed(struct remote_ledger *ledger);

/* ---- the thread of the flusher, or one after the other ---- */

void remote_ledger_flusher_begin(struct remote_ledger *ledger, struct flusher *flusher);
void remote_ledger_flusher_end(struct remote_ledger *ledger, struct flusher *flusher,
                               bool in_good_order);
/* Its FLUSH was received: the mark.  NULL: nobody knows whose. */
uint64_t remote_ledger_flush_mark(struct remote_ledger *ledger, struct flusher *flusher);
/* That FLUSH is answered with an error, whatever it is. */
void remote_ledger_flush_failed(struct flusher *flusher, uint64_t mark);

/* ---- the primary's thread ---- */

/* Its connection is gone; and is there again. */
void remote_ledger_primary_lost(struct remote_ledger *ledger);
void remote_ledger_primary_connected(struct remote_ledger *ledger);
/* True: a FLUSH of somebody who was told of the first `told` must fail now. */
bool remote_ledger_flush_refused(struct remote_ledger *ledger, uint64_t told);
/* True: nothing was answered since the last one, so it is done without asking the server.  Before
 * the first one there may be something: a client that was connected before this program was started
 * again flushes what it had been answered then.  `since_start`: whose FLUSH it is has nothing to do
 * with that (flusher.h). */
bool remote_ledger_flush_is_void(const struct remote_ledger *ledger, uint64_t mark,
                                 bool since_start);
/* It succeeded at the server; 0, or EIO. */
int remote_ledger_flush_done(struct remote_ledger *ledger, uint64_t mark, uint64_t told);

#endif
