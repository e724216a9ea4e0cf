/* The audit log of a server: events (server/base/event.h) as numbered records (audit-record.h), in
 * a file or in the journal.
 *
 * Who tells an event does not wait.  What comes faster than it can be written, and what comes while
 * nothing can be written for long, is lost: its numbers are left out, and a record tells how many
 * there were.  Of one kind of denial so many are written in a minute as of a message of the log
 * (server/base/log-limit.h), and the number of the others is told.
 *
 * A record is on the storage soon after what it tells of has happened, not before. */
#ifndef NBDCRYPT_AUDIT_H
#define NBDCRYPT_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "server/audit/audit-queue.h"
#include "server/base/error.h"

#define AUDIT_JOURNAL "journal" /* instead of a path */

/* Once in a process; `path` stays; NULL: there is none.  The first record is written when it
 * returns 0.  `required`: see audit_can_record(). */
NODISCARD int audit_start(const char *path, bool required, struct error *err);
/* False: what would be told now could not be written, and is not to be done: the log fails, or
 * there is no room for such records.  Always true where the log is not required.  Any thread. */
bool audit_can_record(enum audit_class of);
/* The file has got another name: the next records go into a new one under the old name.  Any
 * thread. */
void audit_reopen(void);
/* Waits until all that was told so far is written, at most so long. */
void audit_drain(unsigned timeout_ms);
/* Writes what there is and the last record, within so long. */
void audit_stop(unsigned timeout_ms);

/* ---- for who looks: any thread ---- */

struct audit_state {
    const char *path;  /* NULL: there is no audit log */
    uint64_t records;  /* the number of the last one that was written */
    uint64_t lost;     /* of this process */
    uint64_t doubtful; /* the same: written, and not made durable */
    bool failing;      /* what is told now can't be written, or is not made durable */
};

void audit_describe(struct audit_state *out);

#endif
