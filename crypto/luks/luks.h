/* LUKS1 and LUKS2 headers, by libcryptsetup on an image of the header area in a memfd: no
 * device-mapper, no root, no I/O of its own.  The caller brings the bytes and takes changed
 * ones back.  Blocks (PBKDF2, Argon2): never on an event loop. */
#ifndef NBDCRYPT_LUKS_H
#define NBDCRYPT_LUKS_H

#include "crypto/cipher/cipher-spec.h"
#include "crypto/secret.h"

/* A header in memory, loaded, valid and within policy (luks-policy.h). */
struct luks_header;

/* Reads `length_bytes` at `offset_bytes` of the device or header file; 0 or -errno. */
typedef int luks_read_fn(void *context, uint64_t offset_bytes, void *out, size_t length_bytes,
                         struct error *err);

enum luks_type { LUKS_TYPE_1 = 1, LUKS_TYPE_2 = 2 };

/* The part of a volume that is data. */
struct luks_segment {
    enum luks_type type;
    struct cipher_spec cipher;
    uint32_t sector_bytes;
    uint64_t payload_offset_bytes; /* in the data image */
    uint64_t payload_bytes;     /* the whole rest of the data image, or the segment's fixed size */
    bool fixed_size;            /* payload_bytes stays when the data image grows */
    uint64_t iv_offset_sectors; /* iv_tweak: added to the sector number, units of 512 bytes */
    char uuid[40];
    bool allow_discards; /* persistent flag of LUKS2 */
};

/* Loads the header that `read` gives.  `header_bytes` is the size of what it reads from;
 * `data_bytes` the size of the data image; `detached` says that they differ.
 * Errors, each a sentence with cause and way out: not a LUKS header (-EMEDIUMTYPE), truncated,
 * damaged, refused by policy (-EPERM), unsupported (-ENOTSUP), image that ends before its payload
 * (-ENODATA: a backup, or a detached header). */
NODISCARD int luks_load(struct luks_header **out, luks_read_fn *read, void *context,
                        uint64_t header_bytes, uint64_t data_bytes, bool detached,
                        struct error *err);
void luks_free(struct luks_header *header); /* NULL is fine */

const struct luks_segment *luks_segment(const struct luks_header *header);

/* The volume key, by a passphrase that opens any keyslot.  -EACCES: "no keyslot opens with this
 * key". */
NODISCARD int luks_unlock(struct secret **volume_key, struct luks_header *header,
                          const struct secret *passphrase, struct error *err);

/* "primary" or "secondary" when this copy of a LUKS2 header is damaged and the other one was used;
 * NULL when all is well. */
const char *luks_damaged_copy(const struct luks_header *header);

#endif
