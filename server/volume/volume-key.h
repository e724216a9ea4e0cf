/* From where a key comes from to the volume key of a header: the only way. */
#ifndef NBDCRYPT_VOLUME_KEY_H
#define NBDCRYPT_VOLUME_KEY_H

#include "crypto/luks/luks.h"
#include "server/keys/key-source.h"

/* `key` is what key_source_read() gave: a passphrase, which opens a keyslot; or the volume key
 * itself, which must be the one that the header's digest tells of; or nothing for a token, whose
 * passphrase is in the kernel's keyrings.
 *
 * *slot: the only keyslot to try, or LUKS_KEYSLOT_ANY; it becomes the one that opened, and stays
 * LUKS_KEYSLOT_ANY when no keyslot is needed.  The caller frees *out.  Errors as
 * luks_keyslot_open(); -EACCES, -EINVAL: another volume key; those of luks_token_keyring() and
 * key_keyring_read().  Blocks (key derivation). */
NODISCARD int volume_key_open(struct secret **out, int *slot, struct luks_header *header,
                              const struct key_source *source, const struct secret *key,
                              struct error *err);

/* Reads the key, too, for `image`, which messages name.  A person at the terminal has
 * KEY_TERMINAL_TRIES tries. */
NODISCARD int volume_key_read(struct secret **out, int *slot, struct luks_header *header,
                              const struct key_source *source, const char *image,
                              struct error *err);

/* Reads the key for volume_key_open() at a later time.  One that is typed is tried at once, by the
 * same number of tries.  The caller frees *key in every case. */
NODISCARD int volume_key_ask(struct secret **key, int slot, struct luks_header *header,
                             const struct key_source *source, const char *image, struct error *err);

/* -EINVAL: a keyslot is named, but none is used.  `slot` may be LUKS_KEYSLOT_ANY. */
NODISCARD int volume_key_check_slot(const struct key_source *source, int slot, struct error *err);

#endif
