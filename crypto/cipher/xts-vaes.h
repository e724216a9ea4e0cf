/* What the AES-XTS kernels on vector registers share: the keyed state, and everything that is not
 * done per sector.  The kernels are xts-vaes-avx512.c and xts-vaes-avx2.c. */
#ifndef NBDCRYPT_XTS_VAES_H
#define NBDCRYPT_XTS_VAES_H

#include "crypto/aes-schedule.h"
#include "crypto/cipher/cipher-ops.h"

/* A unit is 512 bytes: the smallest sector, and what one IV counts. */
#define XTS_UNIT_BYTES 512u
#define XTS_CHUNK_UNITS 128u /* 64 KiB */
#define XTS_BATCH_BYTES_MAX 512u

/* Tweaks are 128-bit numbers, little-endian. */
struct xts_tweak {
    uint64_t low, high;
};

/* All of it lies in locked memory: a kernel keeps nothing in memory elsewhere that depends on the
 * key.  One page. */
struct xts_vaes {
    struct cipher cipher;
    struct secret *memory; /* in which this struct lies */
    unsigned rounds;       /* 10 or 14 */
    _Alignas(64) struct aes_schedule encrypt, decrypt, tweak;
    /* The tweak of the first block of each sector of the chunk in work.  One more than a chunk
     * has, because a kernel prepares the batch that comes next even after the last. */
    _Alignas(64) struct xts_tweak sector_tweaks[XTS_CHUNK_UNITS + 1];
    /* The same of the unit whose blocks' tweaks are being made. */
    struct xts_tweak unit_tweak;
    /* The tweak of each block of the batch in work and of the next one, in turn. */
    _Alignas(64) uint8_t block_tweaks[2][XTS_BATCH_BYTES_MAX];
};

/* `create` of struct cipher_ops but for the ops. */
NODISCARD int xts_vaes_create(struct cipher **out, const struct cipher_ops *ops,
                              const struct secret *key, uint32_t sector_bytes, struct error *err);
void xts_vaes_destroy(struct cipher *cipher);

#endif
