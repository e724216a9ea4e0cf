/* Reads and checks a LUKS1 header ("LUKS On-Disk Format Specification" 1.2.3, 2.1 "phdr"). */
#ifndef NBDCRYPT_LUKS1_POLICY_H
#define NBDCRYPT_LUKS1_POLICY_H

#include "crypto/luks/luks-policy.h"

#define LUKS1_HEADER_BYTES 592u
#define LUKS1_KEYSLOTS 8u
#define LUKS1_KEYSLOTS_AT 208u /* the first of them, in the header */
#define LUKS1_KEYSLOT_BYTES 48u

struct luks1_keyslot {
    bool active;
    uint32_t iterations;
    uint32_t offset_sectors; /* of 512 bytes */
    uint32_t stripes;
};

/* The fields that are of use here, in the machine's byte order. */
struct luks1_header {
    char cipher[33]; /* "aes" */
    char mode[33];   /* "xts-plain64" */
    char hash[33];
    uint32_t payload_offset_sectors;
    uint32_t key_bytes;
    uint32_t digest_iterations;
    char uuid[41];
    struct luks1_keyslot keyslots[LUKS1_KEYSLOTS];
};

/* Magic and version have been seen already.  -EINVAL: a text field without end, a keyslot
 * that is neither in use nor free. */
NODISCARD int luks1_policy_parse(struct luks1_header *out, const uint8_t bytes[LUKS1_HEADER_BYTES],
                                 struct error *err);

/* Fills the segment and the areas of the keyslots in use. */
NODISCARD int luks1_policy_check(struct luks_segment *segment, struct luks_areas *areas,
                                 const struct luks1_header *header, const struct luks_sizes *sizes,
                                 struct error *err);

#endif
