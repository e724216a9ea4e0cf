/* The two copies of a LUKS2 header as bytes: where they are, and which one is good
 * ("LUKS2 On-Disk Format Specification" 1.1, chapter 2). */
#ifndef NBDCRYPT_LUKS2_BINARY_H
#define NBDCRYPT_LUKS2_BINARY_H

#include "crypto/luks/luks-types.h"

#define LUKS2_BINARY_BYTES 4096u           /* in front of the JSON area */
#define LUKS2_COPY_BYTES_MIN (16u * 1024u) /* 16 KiB to 4 MiB, powers of two */
#define LUKS2_COPY_BYTES_MAX (4u * 1024u * 1024u)

struct luks2_copy {
    uint8_t *bytes; /* NULL: this copy is missing or damaged, see `damage` */
    uint64_t length_bytes;
    uint64_t offset_bytes; /* 0, or length_bytes for the secondary */
    uint64_t sequence;
    bool text_is_bad;    /* its checksum is right, but the text under it is no header */
    struct error damage; /* "its checksum is wrong" */
};

struct luks2_copies {
    struct luks2_copy primary;
    struct luks2_copy secondary;
    const struct luks2_copy *chosen; /* a good one; the later one if both are */
};

/* Is the text of a copy whose checksum is right a header?  -EINVAL: no, and `err` says why, which
 * makes this copy a damaged one.  Other errors are left to be found when it is used. */
typedef int luks2_check_fn(const struct luks2_copy *copy, struct error *err);

/* Reads both copies and chooses.  The secondary is searched for when the primary can't tell where
 * it is.  `check` may be NULL.  -EMEDIUMTYPE: neither shows a LUKS2 header; -EINVAL: both are
 * damaged, and how. */
NODISCARD int luks2_copies_read(struct luks2_copies *out, luks_read_fn *read, void *context,
                                uint64_t header_bytes, luks2_check_fn *check, struct error *err);
void luks2_copies_free(struct luks2_copies *copies);

/* Whether both are good and say different things: a change was interrupted between them. */
bool luks2_copies_differ(const struct luks2_copies *copies);

/* Sets the checksum of a copy that was changed. */
NODISCARD int luks2_copy_seal(uint8_t *bytes, uint64_t length_bytes, struct error *err);

/* The UUID of a good copy, NUL-terminated; `out` has room for 40 bytes. */
void luks2_copy_uuid(char *out, const struct luks2_copy *copy);

#endif
