/* What a header says, for people and scripts; never a secret. */
#ifndef NBDCRYPT_LUKS_DESCRIBE_H
#define NBDCRYPT_LUKS_DESCRIBE_H

#include "crypto/luks/luks.h"

struct json_object;

/* One object of json-c; the caller puts it.  Members are never removed or renamed, new ones
 * may be added:
 *
 *   type                  "luks1", "luks2"
 *   uuid                  text
 *   label, subsystem      text, or null (LUKS1: always null)
 *   cipher                "aes-xts-plain64"
 *   cipher-implementation what would do it on this machine, "vaes-avx512", "vaes-avx2" or
 *                         "gnutls"; or null (see cipher_choose() in crypto/cipher/cipher.h)
 *   key-bits              number: of the volume key, 256 or 512
 *   sector-size           number, bytes
 *   payload-offset        number, bytes: where the data begins in the image
 *   size                  number, bytes: usable size; `info` makes it null for a header alone
 *   iv-offset             number, units of 512 bytes, added to the sector number of the IV
 *   header-digest         text: what --header-digest takes, see luks_header_digest()
 *   detached              boolean: the header is not in the image
 *   damaged-header-copy   "primary", "secondary" or null (LUKS2 keeps two copies)
 *   flags                 array of text: persistent flags of LUKS2 ("allow-discards")
 *   zero-holes            boolean: holes are zeros (crypto/luks/luks-zero-holes.h); LUKS1: always
 *                         false
 *   keyslots              array of the keyslots in use:
 *     slot                  number
 *     priority              "ignore", "normal", "prefer"
 *     key-bits              number: of the key it holds
 *     volume-key            boolean: what it holds is the key of the data
 *     cipher                text: the encryption of the keyslot itself
 *     pbkdf                 object: type "pbkdf2" with hash, iterations; type "argon2i" or
 *                           "argon2id" with time (passes), memory-kib, cpus
 *   tokens                array: token (number), type (text), keyslots (array of numbers)
 */
NODISCARD int luks_describe_json(struct json_object **out, const struct luks_header *header,
                                 struct error *err);

#endif
