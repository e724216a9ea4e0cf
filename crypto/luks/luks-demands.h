/* What the user demands of a volume before its key is asked for: the storage may hold another one
 * than it did yesterday.  The limits of luks-policy.h hold in any case. */
#ifndef NBDCRYPT_LUKS_DEMANDS_H
#define NBDCRYPT_LUKS_DEMANDS_H

#include "crypto/luks/luks.h"

/* All 0: nothing is demanded. */
struct luks_demands {
    const char *uuid;           /* NULL: any; upper and lower case are the same */
    const char *digest;         /* NULL: any; as luks_header_digest() makes it */
    const char *const *ciphers; /* the names that are accepted, "aes-xts-plain64" */
    size_t cipher_count;        /* 0: all that nbdcrypt has */
    unsigned key_bits_min;      /* of the volume key */
    unsigned iterations_max;    /* of a keyslot: PBKDF2's iterations, Argon2's passes; and of the
                                 * volume    key's digest, which is by PBKDF2; 0: no demand */
    unsigned memory_kib_max;    /* of a keyslot with Argon2; 0: no demand */
};

/* The form of a digest, which its text begins with.  The first one did not know flags. */
enum luks_digest_form { LUKS_DIGEST_WITHOUT_FLAGS = 1, LUKS_DIGEST = 2 };

#define LUKS_HEADER_DIGEST_CHARACTERS_MAX 74u /* "v2:sha256:" and 64 hexadecimal digits */

struct luks_header_digest {
    char text[LUKS_HEADER_DIGEST_CHARACTERS_MAX + 1];
};

/* A fingerprint of what decides how data is decrypted, and what is told the storage: format,
 * cipher, key size, sector size, where the payload lies, the digest of the volume key, and
 * persistent flags.  Who can write to the storage can't put another volume key in its place, or set
 * a flag, without changing it; keys, tokens and labels may come and go.  It is SHA-256 of these
 * lines, each ended by a newline (docs/nbdcrypt.1 has them for the user):
 *
 *   nbdcrypt header digest 2            the form
 *   type luks2                          luks1 or luks2
 *   cipher aes-xts-plain64
 *   key-bits 512
 *   sector-size 4096
 *   payload-offset 16777216
 *   payload-size dynamic                or a number of bytes
 *   iv-offset 0
 *   key-digest pbkdf2 sha256 ITERATIONS SALT DIGEST
 *   flag allow-discards                 one line for each, in the order of bytes; not in form 1
 *
 * SALT and DIGEST are in base64: for LUKS2 as the header has them, for LUKS1 of the fields
 * mk-digest-salt and mk-digest. */
NODISCARD int luks_header_digest(struct luks_header_digest *out, const struct luks_header *header,
                                 enum luks_digest_form form, struct error *err);

/* Is the header pinned, but for its flags? */
bool luks_demands_leave_flags(const struct luks_demands *demands, const struct luks_header *header);

/* Is this what a digest looks like?  -EINVAL with a sentence. */
NODISCARD int luks_demands_check_digest(const char *digest, struct error *err);
/* The same for a UUID. */
NODISCARD int luks_demands_check_uuid(const char *uuid, struct error *err);

/* -EPERM with a sentence that says which demand is not met. */
NODISCARD int luks_demands_check(const struct luks_demands *demands,
                                 const struct luks_header *header, struct error *err);

#endif
