/* A keyslot that is opened here (luks-own-keyslot.h), whichever the format, and its key material in
 * the image of a header: the volume key in many stripes, encrypted. */
#ifndef NBDCRYPT_LUKS_MATERIAL_H
#define NBDCRYPT_LUKS_MATERIAL_H

#include "crypto/luks/luks-kdf.h"
#include "crypto/luks/luks-policy.h"

#define LUKS_DIGEST_BYTES_MAX 64u

/* All that it takes to open a keyslot. */
struct luks_own_keyslot {
    size_t key_bytes; /* of the volume key */
    struct luks_kdf kdf;
    int af_hash;
    struct cipher_spec cipher; /* of the key material */
    uint64_t offset_bytes;     /* of the key material */
};

/* By which a volume key is known. */
struct luks_digest {
    struct luks_kdf kdf;
    uint8_t digest[LUKS_DIGEST_BYTES_MAX];
    size_t digest_bytes;
};

/* Key material to the image of a header and back.  `stripes` is LUKS_AF_STRIPES times key_bytes, in
 * whole sectors (see luks_material_bytes()); written: encrypted in place. */
size_t luks_material_bytes(size_t key_bytes);
NODISCARD int luks_material_write(int image_fd, const struct luks_own_keyslot *slot,
                                  const struct secret *key, struct secret *stripes,
                                  struct error *err);
/* The same way back: decrypted in place of what `stripes` held. */
NODISCARD int luks_material_read(struct secret *stripes, int image_fd,
                                 const struct luks_own_keyslot *slot, const struct secret *key,
                                 struct error *err);

#endif
