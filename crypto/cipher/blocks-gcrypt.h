/* A block cipher on many blocks at once, by libgcrypt.
 *
 * The library works on 8 to 32 blocks at a time, several times as fast as on one, but it offers
 * that in modes of operation only.  CFB decryption is E(previous) ^ this, and CBC decryption is
 * D(this) ^ previous: with blocks of the caller's choice these are E and D of independent blocks,
 * and an xor that can be undone. */
#ifndef NBDCRYPT_BLOCKS_GCRYPT_H
#define NBDCRYPT_BLOCKS_GCRYPT_H

#include <gcrypt.h>

#include "crypto/cipher/cipher-spec.h"

#define BLOCK_BYTES 16u

struct blocks {
    gcry_cipher_hd_t cfb, cbc;
};

/* Does this machine's libgcrypt have it?  (In FIPS mode there is AES only.) */
bool blocks_has(enum cipher_algorithm algorithm);

/* The key has 16, 24 or 32 bytes; it is kept in locked memory.  -ENOMEM, -ENOTSUP. */
NODISCARD int blocks_create(struct blocks *out, enum cipher_algorithm algorithm, const uint8_t *key,
                            size_t key_bytes, struct error *err);
void blocks_destroy(struct blocks *blocks); /* zeros are fine */

/* Each of `count` blocks of its own (ECB).  out and in do not overlap; behind the blocks of `in`
 * there is room for one more, which is overwritten. */
void blocks_encrypt(const struct blocks *blocks, uint8_t *out, uint8_t *in, size_t count);
void blocks_decrypt(const struct blocks *blocks, uint8_t *out, const uint8_t *in, size_t count);

/* CBC over whole blocks, in place. */
void blocks_cbc_encrypt(const struct blocks *blocks, const uint8_t *iv, uint8_t *data,
                        size_t length_bytes);
void blocks_cbc_decrypt(const struct blocks *blocks, const uint8_t *iv, uint8_t *data,
                        size_t length_bytes);

/* out ^= in */
void blocks_xor(uint8_t *out, const uint8_t *in, size_t length_bytes);

#endif
