/* LUKS1 and LUKS2 headers, by libcryptsetup on an image of the header area in a memfd: no
 * device-mapper, no root, no I/O of its own.  The caller brings the bytes and takes changed
 * ones back.  Blocks (PBKDF2, Argon2): never on an event loop. */
#ifndef NBDCRYPT_LUKS_H
#define NBDCRYPT_LUKS_H

#include "crypto/luks/luks-types.h"

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

/* "primary" or "secondary" when this copy of a LUKS2 header is damaged and the other one was used;
 * NULL when all is well. */
const char *luks_damaged_copy(const struct luks_header *header);

#endif
