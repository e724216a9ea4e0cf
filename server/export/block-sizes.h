/* What clients are told of block sizes, where the operator wants something else than what the image
 * has: --block-size. */
#ifndef NBDCRYPT_BLOCK_SIZES_H
#define NBDCRYPT_BLOCK_SIZES_H

#include <stdint.h>

#include "server/base/error.h"

/* Each is as the image has it where it is 0. */
struct block_sizes {
    uint32_t min_bytes, preferred_bytes, max_bytes;
};

/* "MIN[/PREFERRED[/MAX]]"; NULL: all as the image has them.  -EINVAL with what is wrong. */
NODISCARD int block_sizes_parse(struct block_sizes *out, const char *text, struct error *err);
/* A disk whose size is no multiple of the least block would have an end that nobody can reach. */
NODISCARD int block_sizes_check(const struct block_sizes *sizes, uint64_t disk_bytes,
                                struct error *err);

#endif
