/* Keyslots that are opened here, not by libcryptsetup.
 *
 * For key material that is encrypted with anything but AES libcryptsetup asks the kernel, and as
 * root it even maps a device; users' machines and containers have no kernel interface for that, and
 * a server has no business to.  So these keyslots are opened with the ciphers of this folder. */
#ifndef NBDCRYPT_LUKS_OWN_KEYSLOT_H
#define NBDCRYPT_LUKS_OWN_KEYSLOT_H

#include "crypto/luks/luks-types.h"

/* Must key material with this cipher be opened here? */
bool luks_own_keyslot_is_ours(const struct cipher_spec *spec);
/* The same of keyslot `slot`, and of any keyslot in use. */
bool luks_own_keyslot_is_ours_at(const struct luks_header *header, int slot);
bool luks_own_keyslot_any_is_ours(const struct luks_header *header);

/* What the key derivation of one keyslot takes at most (Argon2); 0: none takes any. */
uint64_t luks_own_keyslot_memory_bytes(const struct luks_header *header);

/* The volume key by keyslot `slot`, which is in use.  Blocks (key derivation).  -EACCES: the
 * passphrase does not fit; no message then.  Others with a message. */
NODISCARD int luks_own_keyslot_open(struct secret **volume_key, int slot,
                                    struct luks_header *header, const struct secret *passphrase,
                                    struct error *err);

#endif
