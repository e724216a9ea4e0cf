/* Key derivation by libgcrypt, for the keyslots that libcryptsetup can't open
 * (luks-own-keyslot.h). */
#ifndef NBDCRYPT_LUKS_KDF_H
#define NBDCRYPT_LUKS_KDF_H

#include "crypto/secret.h"

#define LUKS_SALT_BYTES_MAX 64u

enum luks_kdf_type { LUKS_KDF_PBKDF2, LUKS_KDF_ARGON2I, LUKS_KDF_ARGON2ID };

/* The numbers are within luks-policy.h. */
struct luks_kdf {
    enum luks_kdf_type type;
    int hash;            /* PBKDF2: libgcrypt's number */
    uint64_t iterations; /* Argon2: passes */
    uint64_t memory_kib; /* Argon2 */
    uint64_t lanes;      /* Argon2 */
    uint8_t salt[LUKS_SALT_BYTES_MAX];
    size_t salt_bytes;
};

/* `length_bytes` bytes derived from `from`.  Blocks.  -ENOMEM, -ENOTSUP: what libgcrypt says. */
NODISCARD int luks_kdf_derive(struct secret **out, size_t length_bytes, const struct luks_kdf *kdf,
                              const struct secret *from, struct error *err);

#endif
