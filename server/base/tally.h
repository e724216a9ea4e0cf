/* How often something has happened in this process, for who adds up (server/metrics): counted where
 * it happens, by any thread, without waiting for anybody.  For what happens once a client or more
 * rarely: requests are counted on the board.
 *
 * This header is a leaf: crypto/, server/ and plugins/ may all include it. */
#ifndef NBDCRYPT_TALLY_H
#define NBDCRYPT_TALLY_H

#include <stdint.h>

enum tally {
    /* Clients that have attached an export, by TALLY_ATTACHED_BY(). */
    TALLY_ATTACHED,
    TALLY_ATTACHED_TLS,
    TALLY_ATTACHED_UNIX,
    TALLY_ATTACHED_UNIX_TLS,

    /* Those that were sent away, by the reason. */
    TALLY_REJECTED_LIMIT,    /* too many are connected, or connecting */
    TALLY_REJECTED_TLS,      /* the TLS handshake failed */
    TALLY_REJECTED_ACCESS,   /* no rule lets it attach the export */
    TALLY_REJECTED_NAME,     /* there is no such export */
    TALLY_REJECTED_TIMEOUT,  /* it chose no export in time */
    TALLY_REJECTED_PROTOCOL, /* what it sent is not NBD */
    TALLY_REJECTED_AUDIT,    /* --audit-required, and it could not be recorded */

    TALLY_RELOADS,
    TALLY_RELOADS_FAILED,
    TALLY_RELOAD_FAILED,  /* not a count: 1 if the last one has failed */
    TALLY_RELOAD_SECONDS, /* not a count: when the last one succeeded, seconds since 1970 */

    TALLY_BACKENDS_LOST, /* connections to storage */
    TALLY_BACKENDS_BACK,

    /* Reports that were written, by what made them. */
    TALLY_REPORTS_ASKED,
    TALLY_REPORTS_STALL,
    TALLY_REPORTS_HUNG,
    TALLY_REPORTS_UNEXPECTED,

    /* Of TLS with clients. */
    TALLY_TLS_HANDSHAKES,
    TALLY_TLS_HANDSHAKES_FAILED,
    TALLY_TLS_BY_KERNEL, /* sessions, by what encrypts them */
    TALLY_TLS_BY_US,
    TALLY_TLS_BY_GNUTLS,
    /* Also with remote disks: other keys for what they send, and for what we do. */
    TALLY_TLS_KEY_UPDATES_BY_PEER,
    TALLY_TLS_KEY_UPDATES_BY_US,

    /* Of the audit log. */
    TALLY_AUDIT_RECORDS,
    TALLY_AUDIT_LOST,
    TALLY_AUDIT_DOUBTFUL,

    TALLY_LOG_LINES, /* and so many for the other levels: by enum log_level */
    TALLY_LOG_LINES_LAST = TALLY_LOG_LINES + 4,
    TALLIES
};

#define TALLY_ATTACHED_BY(local, tls) \
    ((enum tally)(TALLY_ATTACHED + ((local) ? 2 : 0) + ((tls) ? 1 : 0)))

void tally_add(enum tally tally);
void tally_set(enum tally tally, uint64_t number);
uint64_t tally_get(enum tally tally);

#endif
