/* Choosing a cipher's implementation: see cipher.h. */
#include "crypto/cipher.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/xts-gnutls.h"

/* Fastest first: the first that supports the cipher on this machine is taken. */
static const struct cipher_ops *const implementations[] = {
    &xts_gnutls_ops,
};

#define IMPLEMENTATION_COUNT (sizeof(implementations) / sizeof(implementations[0]))

/* NBDCRYPT_CIPHER names one implementation: for tests and for comparing them. */
static const struct cipher_ops *choose(const struct cipher_spec *spec, const char *wanted)
{
    for (size_t i = 0; i < IMPLEMENTATION_COUNT; i++) {
        if (wanted && strcmp(wanted, implementations[i]->name) != 0)
            continue;
        if (implementations[i]->supports(spec))
            return implementations[i];
    }
    return NULL;
}

static bool sector_size_is_valid(uint32_t sector_bytes)
{
    return sector_bytes == 512 || sector_bytes == 1024 || sector_bytes == 2048 ||
           sector_bytes == 4096;
}

int cipher_create(struct cipher **out, const struct cipher_spec *spec, const struct secret *key,
                  uint32_t sector_bytes, struct error *err)
{
    const char *wanted = getenv("NBDCRYPT_CIPHER");
    const struct cipher_ops *ops;

    assert(sector_size_is_valid(sector_bytes));
    assert(key->length_bytes == spec->key_bits / 8);

    ops = choose(spec, wanted);
    if (!ops && wanted)
        return error_set(err, -ENOTSUP,
                         "no implementation '%s' of %s with %u bits here; unset NBDCRYPT_CIPHER",
                         wanted, spec->name, spec->key_bits);
    if (!ops)
        return error_set(err, -ENOTSUP, "no implementation of %s with %u bits", spec->name,
                         spec->key_bits);
    return ops->create(out, spec, key, sector_bytes, err);
}

void cipher_encrypt(struct cipher *cipher, uint64_t iv_sector, uint8_t *data, size_t length_bytes)
{
    assert(length_bytes % cipher->sector_bytes == 0);
    cipher->ops->encrypt(cipher, iv_sector, data, length_bytes);
}

void cipher_decrypt(struct cipher *cipher, uint64_t iv_sector, uint8_t *data, size_t length_bytes)
{
    assert(length_bytes % cipher->sector_bytes == 0);
    cipher->ops->decrypt(cipher, iv_sector, data, length_bytes);
}

void cipher_destroy(struct cipher *cipher)
{
    if (cipher)
        cipher->ops->destroy(cipher);
}
