/* All ciphers of cipher-spec.h on runs of sectors, by libgcrypt. */
#ifndef NBDCRYPT_SECTORS_GCRYPT_H
#define NBDCRYPT_SECTORS_GCRYPT_H

#include "crypto/cipher/cipher-ops.h"

extern const struct cipher_ops sectors_gcrypt_ops;

#endif
