/* Does an implementation of a cipher compute the right thing on this machine? */
#ifndef NBDCRYPT_CIPHER_SELFTEST_H
#define NBDCRYPT_CIPHER_SELFTEST_H

#include "crypto/cipher/cipher-ops.h"

/* Runs known vectors of what `ops` supports with this block cipher, both ways; a few milliseconds.
 * -EIO says which one came out wrong, -ENOMEM. */
NODISCARD int cipher_selftest(const struct cipher_ops *ops, enum cipher_algorithm algorithm,
                              struct error *err);

#endif
