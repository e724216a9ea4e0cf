/* A keyed cipher over runs of sectors, in place.  One implementation is chosen when it is
 * made; to add a faster one, add a file with a `struct cipher_ops` and its row in cipher.c.
 *
 * A cipher belongs to one thread; make one per worker from the same key. */
#ifndef NBDCRYPT_CIPHER_H
#define NBDCRYPT_CIPHER_H

#include "crypto/cipher-spec.h"
#include "crypto/secret.h"

struct cipher;

/* What an implementation provides.  encrypt and decrypt can't fail after `create`. */
struct cipher_ops {
    const char *name; /* "gnutls" */
    bool (*supports)(const struct cipher_spec *spec);
    int (*create)(struct cipher **out, const struct cipher_spec *spec, const struct secret *key,
                  uint32_t sector_bytes, struct error *err);
    void (*encrypt)(struct cipher *cipher, uint64_t iv_sector, uint8_t *data, size_t length_bytes);
    void (*decrypt)(struct cipher *cipher, uint64_t iv_sector, uint8_t *data, size_t length_bytes);
    void (*destroy)(struct cipher *cipher);
};

/* First member of every implementation's own struct. */
struct cipher {
    const struct cipher_ops *ops;
    uint32_t sector_bytes;
};

/* `key` has spec->key_bits; sector_bytes is 512, 1024, 2048 or 4096.  The key is copied into
 * locked memory. */
NODISCARD int cipher_create(struct cipher **out, const struct cipher_spec *spec,
                            const struct secret *key, uint32_t sector_bytes, struct error *err);

/* A run of whole sectors, at any address.  `iv_sector` counts units of 512 bytes from the start of
 * the segment (plus the segment's iv_tweak) even when sectors are larger: with 4096-byte
 * sectors it steps by 8 (LUKS2 on-disk format, "crypt" segment; dm-crypt without
 * iv_large_sectors). */
void cipher_encrypt(struct cipher *cipher, uint64_t iv_sector, uint8_t *data, size_t length_bytes);
void cipher_decrypt(struct cipher *cipher, uint64_t iv_sector, uint8_t *data, size_t length_bytes);
void cipher_destroy(struct cipher *cipher); /* wipes; NULL is fine */

#endif
