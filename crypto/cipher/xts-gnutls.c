/* AES-XTS by GnuTLS.
 *
 * The tweak is "plain64": the number of the sector in units of 512 bytes, as 16 bytes,
 * little-endian (IEEE Std 1619-2007, 5.1; dm-crypt's plain64 IV).  A GnuTLS handle keeps the
 * key schedule in memory of its own and wipes it when it is closed; no other copy is kept
 * here. */
#include "crypto/cipher/xts-gnutls.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#define IV_UNIT_BYTES 512u
#define TWEAK_BYTES 16u

struct xts_gnutls {
    struct cipher cipher;
    gnutls_cipher_hd_t handle;
};

typedef int crypt_fn(gnutls_cipher_hd_t handle, void *data, size_t length_bytes);

static bool supports(const struct cipher_spec *spec)
{
    return cipher_spec_is_plain_aes_xts(spec);
}

static int create(struct cipher **out, const struct cipher_spec *spec, const struct secret *key,
                  uint32_t sector_bytes, struct error *err)
{
    gnutls_cipher_algorithm_t algorithm =
        spec->key_bits == 256 ? GNUTLS_CIPHER_AES_128_XTS : GNUTLS_CIPHER_AES_256_XTS;
    gnutls_datum_t datum = { .data = key->data, .size = (unsigned)key->length_bytes };
    struct xts_gnutls *xts = calloc(1, sizeof *xts);
    int result;

    if (xts == NULL)
        return error_no_memory(err, "for a cipher");
    result = gnutls_cipher_init(&xts->handle, algorithm, &datum, NULL);
    if (result < 0) {
        free(xts);
        return error_set(err, -ENOTSUP, "GnuTLS does not accept the key for %s: %s", spec->name,
                         gnutls_strerror(result));
    }
    xts->cipher.ops = &xts_gnutls_ops;
    xts->cipher.sector_bytes = sector_bytes;
    *out = &xts->cipher;
    return 0;
}

static void store_tweak(uint8_t tweak[TWEAK_BYTES], uint64_t iv_sector)
{
    for (unsigned i = 0; i < 8; i++)
        tweak[i] = (uint8_t)(iv_sector >> (8 * i));
}

/* GnuTLS can only fail here on wrong lengths, which are ours. */
static void crypt_run(struct cipher *cipher, crypt_fn *crypt, uint64_t iv_sector, uint8_t *data,
                      size_t length_bytes)
{
    struct xts_gnutls *xts = (struct xts_gnutls *)cipher;
    uint32_t sector_bytes = cipher->sector_bytes;
    uint8_t tweak[TWEAK_BYTES] = { 0 };

    for (size_t done = 0; done < length_bytes; done += sector_bytes) {
        int result;

        store_tweak(tweak, iv_sector);
        gnutls_cipher_set_iv(xts->handle, tweak, sizeof tweak);
        result = crypt(xts->handle, data + done, sector_bytes);
        assert(result == 0);
        iv_sector += sector_bytes / IV_UNIT_BYTES;
    }
}

static int encrypt_sector(gnutls_cipher_hd_t handle, void *data, size_t length_bytes)
{
    return gnutls_cipher_encrypt(handle, data, length_bytes);
}

static int decrypt_sector(gnutls_cipher_hd_t handle, void *data, size_t length_bytes)
{
    return gnutls_cipher_decrypt(handle, data, length_bytes);
}

static void encrypt(struct cipher *cipher, uint64_t iv_sector, uint8_t *data, size_t length_bytes)
{
    crypt_run(cipher, encrypt_sector, iv_sector, data, length_bytes);
}

static void decrypt(struct cipher *cipher, uint64_t iv_sector, uint8_t *data, size_t length_bytes)
{
    crypt_run(cipher, decrypt_sector, iv_sector, data, length_bytes);
}

static void destroy(struct cipher *cipher)
{
    struct xts_gnutls *xts = (struct xts_gnutls *)cipher;

    gnutls_cipher_deinit(xts->handle);
    free(xts);
}

const struct cipher_ops xts_gnutls_ops = {
    .name = "gnutls",
    .supports = supports,
    .create = create,
    .encrypt = encrypt,
    .decrypt = decrypt,
    .destroy = destroy,
};
