/* Keyslots of LUKS1 in the image of a header: the fields that luks1_policy_parse() has no use for,
 * and writing. (LUKS1 On-Disk Format Specification, 2.3.)  For luks-own-keyslot.h. */
#ifndef NBDCRYPT_LUKS1_OWN_KEYSLOT_H
#define NBDCRYPT_LUKS1_OWN_KEYSLOT_H

#include "crypto/luks/luks-material.h"

/* Keyslot `number`, in use or not, and the digest of the volume key, of a header that passed the
 * policy. */
NODISCARD int luks1_own_keyslot_load(struct luks_own_keyslot *slot, struct luks_digest *digest,
                                     int image_fd, unsigned number, struct error *err);

/* Puts the volume key into the free keyslot `number` of the image.  Blocks (key derivation). */
NODISCARD int luks1_own_keyslot_add(int image_fd, unsigned number, const struct secret *volume_key,
                                    const struct secret *passphrase, uint32_t iterations,
                                    struct error *err);

/* Replaces the name of the cipher, without the mode: at most 31 bytes. */
NODISCARD int luks1_own_keyslot_rename_cipher(int image_fd, const char *cipher, struct error *err);

#endif
