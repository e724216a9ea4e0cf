/* That holes of a volume are zeros, in its header.
 *
 * The data of a volume that is served with --zero-holes is what it is only to those who read holes
 * as zeros; everybody else reads noise there.  So LUKS2 headers keep a token which says so:
 *
 *   { "type": "nbdcrypt-zero-holes", "keyslots": [] }
 *
 * cryptsetup keeps tokens of types that it does not know.  The token turns nothing on: it stops
 * those who would read noise. */
#ifndef NBDCRYPT_LUKS_ZERO_HOLES_H
#define NBDCRYPT_LUKS_ZERO_HOLES_H

#include "crypto/luks/luks.h"

/* Is token `token` that one? */
bool luks_zero_holes_is_token(int token, const struct luks_header *header);

/* LUKS1 has no tokens: never. */
bool luks_zero_holes_recorded(const struct luks_header *header);

/* Changes the header in memory, which luks-change.h stores.  -ENOTSUP: LUKS1; -ENOSPC: there is no
 * room. */
NODISCARD int luks_zero_holes_record(struct luks_header *header, bool recorded, struct error *err);

#endif
