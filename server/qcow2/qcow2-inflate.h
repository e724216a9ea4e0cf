/* A compressed cluster. */
#ifndef NBDCRYPT_QCOW2_INFLATE_H
#define NBDCRYPT_QCOW2_INFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/base/error.h"

/* NULL, or why this program can't do it. */
const char *qcow2_inflate_lacks(bool zstd);

/* Fills all of `out`: what is behind that in the data does not count, so no data makes more of it.
 * Any thread; takes some time.  False: the data is damaged, or ends before, or there is no
 * memory. */
NODISCARD bool qcow2_inflate(uint8_t *out, size_t out_bytes, const uint8_t *data,
                             size_t length_bytes, bool zstd);

#endif
