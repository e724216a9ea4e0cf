/* What a remote server may have lost: the account that decides whether a FLUSH may succeed.
 *
 * A server that ends may lose the writes that it had answered and not yet made durable.  A FLUSH
 * sent to its successor would succeed and mean nothing, so it has to fail.  The rules:
 *
 * 1. Writes (and zeroes) without FUA are counted when they are answered, on any connection.
 * 2. FLUSHes go through one connection, the primary, which is made before the first write.  As
 *    long as it lives, the server is the same one; what it flushes covers all connections (NBD's
 *    CAN_MULTI_CONN; without that flag there is only the primary).
 * 3. When any connection is lost, all that was answered by then and not flushed counts as lost.
 *    Every FLUSH that waits or comes until the primary is connected again fails; if none did,
 *    the next one does.  Then the account is clear again: the failure was told.
 * 4. Replies on another connection are believed only if it was begun while the primary was
 *    connected, and as long as that lasts; the others' requests are sent again.  So no write
 *    is answered by a server that is older or newer than the primary's unless the primary's
 *    connection is lost too, which rule 3 sees.
 * 5. FUA writes and TRIM are not counted: the former are durable, the latter promise nothing.
 *
 * In 4 the order is: the primary raises the generation, then reads the count; the others raise the
 * count, then look at the generation.  So one of the two sees the other. */
#ifndef NBDCRYPT_REMOTE_LEDGER_H
#define NBDCRYPT_REMOTE_LEDGER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Zeroed at first. */
struct remote_ledger {
    atomic_uint_fast64_t answered; /* writes so far */
    atomic_uint_fast64_t lost;     /* of those, the first so many may be lost unless flushed */
    atomic_uint generation;        /* of the primary's connection; odd: it has none */
    uint64_t flushed;              /* the first so many are durable, or their loss was told */
    uint64_t told;                 /* FLUSHes that failed covered so many */
};

/* Any thread. */
void remote_ledger_write_answered(struct remote_ledger *ledger);
/* Before connecting another than the primary, which makes sense only while that one is there. */
unsigned remote_ledger_generation(struct remote_ledger *ledger);
bool remote_ledger_has_primary(struct remote_ledger *ledger);
/* After remote_ledger_write_answered(): whether a reply on a connection that was begun in
 * `generation` may be believed. */
bool remote_ledger_is_current(struct remote_ledger *ledger, unsigned generation);

/* The primary's is gone.  Its thread. */
void remote_ledger_primary_lost(struct remote_ledger *ledger);
/* Another one, begun in `generation`.  Any thread. */
void remote_ledger_connection_lost(struct remote_ledger *ledger, unsigned generation);

/* The primary's thread.  Connected again, and those FLUSHes that had to fail have failed. */
void remote_ledger_primary_connected(struct remote_ledger *ledger);
/* A FLUSH has arrived: its mark, which it keeps until it is answered. */
uint64_t remote_ledger_flush_mark(struct remote_ledger *ledger);
/* True: it must fail now. */
bool remote_ledger_flush_refused(struct remote_ledger *ledger, uint64_t mark);
/* True: nothing was answered since the last one, so it is done without asking the server. */
bool remote_ledger_flush_is_void(const struct remote_ledger *ledger, uint64_t mark);
/* It succeeded at the server; 0, or EIO. */
int remote_ledger_flush_done(struct remote_ledger *ledger, uint64_t mark);
/* With the primary connected: if that FLUSH told of all that was lost, the account is clear. */
void remote_ledger_settle(struct remote_ledger *ledger);

#endif
