/* A keyed cipher over runs of sectors, in place.
 *
 * One implementation is chosen when it is made: the fastest that this machine can run and that has
 * passed its self-test (crypto/cipher/cipher-selftest.h), which runs at the first need.
 * The environment variable NBDCRYPT_CIPHER names another one, for tests and bug reports.
 * To add one, add a file with a `struct cipher_ops` and its row in cipher.c.
 *
 * A cipher belongs to one thread; make one per worker from the same key. */
#ifndef NBDCRYPT_CIPHER_H
#define NBDCRYPT_CIPHER_H

#include "crypto/cipher/cipher-ops.h"

/* The name of the implementation that cipher_create() takes.  -ENOTSUP lists what this machine has:
 * NBDCRYPT_CIPHER names something else, or there is none. */
NODISCARD int cipher_choose(const char **name, const struct cipher_spec *spec, struct error *err);

/* A sentence for the log when implementations that were considered so far have failed their
 * self-test and are not used; NULL when all is well. */
const char *cipher_left_out(void);

/* What was built into this program, fastest first; NULL behind the last.  Whether this machine
 * can run one, its `supports` tells.  For tests and benchmarks. */
const struct cipher_ops *cipher_implementation_at(size_t i);

/* `key` has spec->key_bits; sector_bytes is 512, 1024, 2048 or 4096.  The key is copied into
 * locked memory.  Fails as cipher_choose() does, and with -ENOMEM. */
NODISCARD int cipher_create(struct cipher **out, const struct cipher_spec *spec,
                            const struct secret *key, uint32_t sector_bytes, struct error *err);

/* "vaes-avx512" */
const char *cipher_implementation(const struct cipher *cipher);

/* A run of whole sectors, at any address.  A CBC chain is a sector long.  `iv_sector` counts units
 * of 512 bytes from the start of the segment (plus the segment's iv_tweak) even when sectors are
 * larger: with 4096-byte sectors it steps by 8 (LUKS2 on-disk format, "crypt" segment; dm-crypt
 * without iv_large_sectors). */
void cipher_encrypt(struct cipher *cipher, uint64_t iv_sector, uint8_t *data, size_t length_bytes);
void cipher_decrypt(struct cipher *cipher, uint64_t iv_sector, uint8_t *data, size_t length_bytes);
void cipher_destroy(struct cipher *cipher); /* wipes; NULL is fine */

#endif
