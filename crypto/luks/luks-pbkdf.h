/* The key derivation of a new keyslot: what the user may ask for, and what libcryptsetup is
 * told. */
#ifndef NBDCRYPT_LUKS_PBKDF_H
#define NBDCRYPT_LUKS_PBKDF_H

#include "crypto/luks/cryptsetup-library.h"
#include "crypto/luks/luks-types.h"

/* All zeros: the defaults of the header's type. */
struct luks_pbkdf {
    const char *name;    /* "argon2id", "argon2i", "pbkdf2"; NULL: the type's default */
    const char *hash;    /* of PBKDF2; NULL: "sha256".  LUKS1: that of the header */
    uint32_t iterations; /* 0: by time (2 s) */
    uint32_t memory_kib; /* Argon2; 0: 1 GiB, or half of this machine's memory if less */
    uint32_t
        parallel; /* Argon2: lanes, at most LUKS_ARGON2_LANES_MAX; 0: as many as there are CPUs */
};

/* Is this possible in a header of this type, and would luks_load() accept it?  -EINVAL; -EPERM:
 * beyond the policy (luks-policy.h). */
NODISCARD int luks_pbkdf_check(const struct luks_pbkdf *pbkdf, enum luks_type type,
                               struct error *err);

/* For the keyslots that this context makes from now on; it has been checked. */
NODISCARD int luks_pbkdf_set(struct cryptsetup_library *library, const struct luks_pbkdf *pbkdf,
                             enum luks_type type, struct error *err);

/* How many iterations of PBKDF2 that means for a keyslot that is not made by the library.
 * Blocks. */
NODISCARD int luks_pbkdf_measure(uint32_t *iterations, struct cryptsetup_library *library,
                                 size_t key_bytes, struct error *err);

#endif
