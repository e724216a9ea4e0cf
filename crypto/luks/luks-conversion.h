/* That a volume is the unfinished target of a conversion, in its header.
 *
 * A LUKS2 header keeps a token while its volume is filled by `nbdcrypt convert`:
 *
 *   { "type": "nbdcrypt-convert", "keyslots": [],
 *     "source": { "size": "10737418240", "digest": "5f8e..." }, "done": "1048576" }
 *
 * The token goes when all of the data is there, and durable.  Until then nobody takes the volume
 * for a whole one, and a conversion that was interrupted goes on behind `done`.  cryptsetup keeps
 * tokens of types that it does not know. */
#ifndef NBDCRYPT_LUKS_CONVERSION_H
#define NBDCRYPT_LUKS_CONVERSION_H

#include "crypto/luks/luks.h"

#define LUKS_CONVERSION_DIGEST_CHARS 64u /* SHA-256 in hexadecimal digits */
#define LUKS_CONVERSION_JSON_BYTES 512u

struct luks_conversion {
    uint64_t size_bytes; /* of the source */
    uint64_t done_bytes; /* from the start of the data on; not more than size_bytes */
    char digest[LUKS_CONVERSION_DIGEST_CHARS + 1]; /* by which the source is known again */
};

/* The HMAC-SHA-256 of what is known of a source, by the volume key of the target: it tells nobody
 * anything who can't read the target.  -EIO: the library has failed. */
NODISCARD int luks_conversion_digest(struct luks_conversion *out, const struct secret *volume_key,
                                     const void *data, size_t length_bytes, struct error *err);

void luks_conversion_json(char out[LUKS_CONVERSION_JSON_BYTES],
                          const struct luks_conversion *conversion);

/* Is token `token` one? */
bool luks_conversion_is_token(int token, const struct luks_header *header);

/* Is it unfinished?  *token is its number.  Whoever can write the storage wrote it: what makes no
 * sense is all zeros, and can't go on. */
bool luks_conversion_find(struct luks_conversion *out, int *token, struct luks_header *header);

/* Change the header in memory, which luks-change.h stores.  -ENOTSUP: LUKS1; -ENOSPC: there is no
 * room. */
NODISCARD int luks_conversion_record(struct luks_header *header,
                                     const struct luks_conversion *conversion, struct error *err);
NODISCARD int luks_conversion_remove(struct luks_header *header, struct error *err);

#endif
