/* What a LUKS header may say, beyond what its format allows.
 *
 * The storage is untrusted: whoever can write to it can write a header.  These checks are pure
 * functions on the 592 bytes of a LUKS1 header and on the JSON text of a LUKS2 one; they
 * run before libcryptsetup sees the header, and for LUKS2 again on what it understood.
 * Each message names the field.
 *
 * Errors: -EPERM refused, -ENOTSUP a feature that nbdcrypt lacks, -EINVAL malformed,
 * -ENOKEY a volume without keys. */
#ifndef NBDCRYPT_LUKS_POLICY_H
#define NBDCRYPT_LUKS_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/luks/luks-types.h"

#define LUKS_AF_STRIPES 4000u /* the only value that either format allows */

/* PBKDF2 reaches about 10 million rounds a second on a fast core, so that cryptsetup with
 * --iter-time 10000 makes 100 million.  This one takes about half a minute. */
#define LUKS_PBKDF2_ITERATIONS_MAX (1u << 28)
/* cryptsetup itself goes no further (4 GiB, 4 lanes). */
#define LUKS_ARGON2_MEMORY_KIB_MAX (4u * 1024u * 1024u)
#define LUKS_ARGON2_LANES_MAX 4u
/* Passes times memory: 256 passes over 1 GiB, minutes; the default is about 4 of them. */
#define LUKS_ARGON2_COST_KIB_MAX (256ull * 1024u * 1024u)
/* libcryptsetup's own bound of a LUKS2 header with its keyslots. */
#define LUKS2_AREA_BYTES_MAX (128u * 1024u * 1024u)
#define LUKS2_KEYSLOTS_MAX 32u
/* Persistent flags: there are less than ten. */
#define LUKS2_FLAGS_MAX 64u
#define LUKS2_FLAG_BYTES_MAX 64u

/* Of what the header was read from, and of the data. */
struct luks_sizes {
    uint64_t header_bytes;
    uint64_t data_bytes;
    bool detached; /* the two are different things */
};

/* The stored key of a keyslot. */
struct luks_area {
    uint64_t offset_bytes;
    uint64_t length_bytes;
};

struct luks_areas {
    struct luks_area items[LUKS2_KEYSLOTS_MAX];
    unsigned count;
};

/* `name` is of a segment or of a keyslot; `key_bits` its key. */
NODISCARD int luks_policy_cipher(struct cipher_spec *out, const char *name, unsigned key_bits,
                                 struct error *err);
/* For PBKDF2, the digest and the anti-forensic splitter. */
NODISCARD int luks_policy_hash(const char *name, struct error *err);
NODISCARD int luks_policy_pbkdf2(uint64_t iterations, struct error *err);
NODISCARD int luks_policy_argon2(uint64_t passes, uint64_t memory_kib, uint64_t lanes,
                                 struct error *err);
/* No area may reach over the end of what it was read from, or over another one. */
NODISCARD int luks_policy_areas(const struct luks_areas *areas, const unsigned slots[],
                                const struct luks_sizes *sizes, struct error *err);
/* Is there data behind segment->payload_offset_bytes?  Sets payload_bytes: `fixed_bytes`, or when
 * that is 0 the rest of the image in whole sectors. */
NODISCARD int luks_policy_payload(struct luks_segment *segment, uint64_t fixed_bytes,
                                  const struct luks_sizes *sizes, struct error *err);

#endif
