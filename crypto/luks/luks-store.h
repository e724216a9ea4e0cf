/* Where a header is stored, and how pieces of an image in memory get there: written, flushed, read
 * back. */
#ifndef NBDCRYPT_LUKS_STORE_H
#define NBDCRYPT_LUKS_STORE_H

#include "crypto/luks/luks-policy.h"
#include "crypto/luks/luks-types.h"

/* The caller's I/O on what the header was loaded from; 0 or -errno. */
typedef int luks_write_fn(void *context, uint64_t offset_bytes, const void *data,
                          size_t length_bytes, struct error *err);
typedef int luks_flush_fn(void *context, struct error *err);

struct luks_store {
    luks_read_fn *read;
    luks_write_fn *write;
    luks_flush_fn *flush;
    void *context;
};

#define LUKS_CHUNK_BYTES (64u * 1024u)

/* What a step works with, for what is to be written and for what is there. */
struct luks_chunks {
    uint8_t wanted[LUKS_CHUNK_BYTES];
    uint8_t found[LUKS_CHUNK_BYTES];
};

/* A luks_read_fn: context points to the descriptor of an image in memory. */
NODISCARD int luks_store_read_memory(void *context, uint64_t offset_bytes, void *out,
                                     size_t length_bytes, struct error *err);

/* Writes `range` of the image to the same place; does not flush. */
NODISCARD int luks_store_write(const struct luks_store *store, int image_fd,
                               const struct luks_area *range, struct luks_chunks *chunks,
                               struct error *err);

/* Is `range` of the image what is stored?  -EIO: it is something else. */
NODISCARD int luks_store_verify(const struct luks_store *store, int image_fd,
                                const struct luks_area *range, struct luks_chunks *chunks,
                                struct error *err);

#endif
