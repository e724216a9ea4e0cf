/* The hashes that a LUKS header may name, for PBKDF2, the digest and the anti-forensic splitter. */
#ifndef NBDCRYPT_LUKS_HASH_H
#define NBDCRYPT_LUKS_HASH_H

#include "server/base/error.h"

/* libgcrypt's number of it.  -ENOTSUP names the hash, shortened and made printable, and lists what
 * is supported. */
NODISCARD int luks_hash_number(int *out, const char *name, struct error *err);

#endif
