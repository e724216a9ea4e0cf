/* A change of a header, from the image in memory to where it is stored.
 *
 *     luks_change_begin()      remembers what is stored
 *     luks_keyslot_add(), ...  change the image in memory, as libcryptsetup does it
 *     luks_change_check()      the new key opens it
 *     luks_change_commit()     writes what differs
 *
 * Whatever is lost of the writes since the last flush (power, connection), and in whatever pieces
 * of 512 bytes they arrived, there is always one valid header, and every key that is in both the
 * old and the new one opens it:
 *
 *     new key material, flush | LUKS2: one copy, flush, the other copy, flush           | what was
 *                             | LUKS1: keyslots that come, flush, keyslots that go, flush | wiped,
 * flush
 *
 * Room for all of it is made before, everything is read back before the next step begins, and what
 * was written is undone when a step fails (luks-steps.h): the change is in force, or it is not. */
#ifndef NBDCRYPT_LUKS_CHANGE_H
#define NBDCRYPT_LUKS_CHANGE_H

#include "crypto/luks/luks-steps.h"
#include "crypto/luks/luks.h"

struct luks_change;

/* `header` must stay until luks_change_end(); one change at a time, which may be committed once. */
NODISCARD int luks_change_begin(struct luks_change **out, struct luks_header *header,
                                struct error *err);

/* Does keyslot `slot` of the changed header open with this passphrase?  Blocks (key derivation). */
NODISCARD int luks_change_check(struct luks_change *change, int slot,
                                const struct secret *passphrase, struct error *err);

/* Writes the change.  Before the first write: -ENOSPC when it would overwrite the material of
 * a keyslot that is in use; what luks_load() says of the changed header when it would refuse it.
 * Later: what `store` says; luks_change_outcome() tells what is stored then. */
NODISCARD int luks_change_commit(struct luks_change *change, const struct luks_store *store,
                                 struct error *err);

/* After a commit that failed.  LUKS_OUTCOME_BEFORE: every key that opened the volume does (a copy
 * of the header may be damaged).  LUKS_OUTCOME_AFTER: the changed header is in force and durable,
 * but a copy of it or the wiping of what was removed is missing. */
enum luks_outcome luks_change_outcome(const struct luks_change *change);

void luks_change_end(struct luks_change *change); /* NULL is fine */

#endif
