/* What all parts of LUKS speak of: a header in memory, where it is read from, and what it says of
 * the data. */
#ifndef NBDCRYPT_LUKS_TYPES_H
#define NBDCRYPT_LUKS_TYPES_H

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

#endif
