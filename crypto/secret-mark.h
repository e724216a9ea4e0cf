/* To know a secret again that is not kept: a keyed digest (HMAC-SHA-256, RFC 2104) by a key of its
 * own.  For secrets that nobody can guess, such as volume keys. */
#ifndef NBDCRYPT_SECRET_MARK_H
#define NBDCRYPT_SECRET_MARK_H

#include "crypto/secret.h"

#define SECRET_MARK_BYTES 32u

struct secret_mark {
    uint8_t key[SECRET_MARK_BYTES], digest[SECRET_MARK_BYTES];
};

/* -EIO: the library has failed. */
NODISCARD int secret_mark_make(struct secret_mark *out, const struct secret *secret,
                               struct error *err);
/* Whether it is the one of which this mark was made. */
bool secret_mark_fits(const struct secret_mark *mark, const struct secret *secret);

#endif
