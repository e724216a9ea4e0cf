/* Many blocks at once: see blocks-gcrypt.h. */
#include "crypto/cipher/blocks-gcrypt.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "crypto/gcrypt-library.h"

static int algorithm_number(enum cipher_algorithm algorithm, size_t key_bytes)
{
    static const int numbers[][3] = {
        /* 128, 192, 256 bits */
        [CIPHER_AES] = { GCRY_CIPHER_AES128, GCRY_CIPHER_AES192, GCRY_CIPHER_AES256 },
        [CIPHER_SERPENT] = { GCRY_CIPHER_SERPENT128, GCRY_CIPHER_SERPENT192,
                             GCRY_CIPHER_SERPENT256 },
        [CIPHER_TWOFISH] = { GCRY_CIPHER_TWOFISH128, 0, GCRY_CIPHER_TWOFISH },
        [CIPHER_CAMELLIA] = { GCRY_CIPHER_CAMELLIA128, GCRY_CIPHER_CAMELLIA192,
                              GCRY_CIPHER_CAMELLIA256 },
    };

    return numbers[algorithm][key_bytes / 8 - 2];
}

bool blocks_has(enum cipher_algorithm algorithm)
{
    gcrypt_library_start();
    return gcry_cipher_test_algo(algorithm_number(algorithm, 32)) == 0;
}

static int open_handle(gcry_cipher_hd_t *out, int number, int mode, const uint8_t *key,
                       size_t key_bytes, struct error *err)
{
    gcry_error_t result = gcry_cipher_open(out, number, mode, GCRY_CIPHER_SECURE);

    if (result == 0)
        result = gcry_cipher_setkey(*out, key, key_bytes);
    /* Keys that are weak for DES have no meaning here, but the library may still say so. */
    if (result == 0 || gcry_err_code(result) == GPG_ERR_WEAK_KEY)
        return 0;
    return error_set(err, gcry_err_code(result) == GPG_ERR_ENOMEM ? -ENOMEM : -ENOTSUP,
                     "libgcrypt does not accept a key of %zu bits: %s", key_bytes * 8,
                     gcry_strerror(result));
}

int blocks_create(struct blocks *out, enum cipher_algorithm algorithm, const uint8_t *key,
                  size_t key_bytes, struct error *err)
{
    int number = algorithm_number(algorithm, key_bytes);
    int result;

    gcrypt_library_start();
    *out = (struct blocks){ 0 };
    result = open_handle(&out->cfb, number, GCRY_CIPHER_MODE_CFB, key, key_bytes, err);
    if (result == 0)
        result = open_handle(&out->cbc, number, GCRY_CIPHER_MODE_CBC, key, key_bytes, err);
    if (result < 0)
        blocks_destroy(out);
    return result;
}

void blocks_destroy(struct blocks *blocks)
{
    gcry_cipher_close(blocks->cfb);
    gcry_cipher_close(blocks->cbc);
    *blocks = (struct blocks){ 0 };
}

void blocks_xor(uint8_t *out, const uint8_t *in, size_t length_bytes)
{
    for (size_t i = 0; i < length_bytes; i += sizeof(uint64_t)) {
        uint64_t a, b;

        memcpy(&a, out + i, sizeof a);
        memcpy(&b, in + i, sizeof b);
        a ^= b;
        memcpy(out + i, &a, sizeof a);
    }
}

/* The library can only fail here on wrong lengths, which are ours. */
static void set_iv(gcry_cipher_hd_t handle, const uint8_t *iv)
{
    gcry_error_t result = gcry_cipher_setiv(handle, iv, BLOCK_BYTES);

    assert(result == 0);
}

void blocks_encrypt(const struct blocks *blocks, uint8_t *out, uint8_t *in, size_t count)
{
    size_t length_bytes = count * BLOCK_BYTES;
    gcry_error_t result;

    memset(in + length_bytes, 0, BLOCK_BYTES);
    set_iv(blocks->cfb, in);
    result = gcry_cipher_decrypt(blocks->cfb, out, length_bytes, in + BLOCK_BYTES, length_bytes);
    assert(result == 0);
    blocks_xor(out, in + BLOCK_BYTES, length_bytes - BLOCK_BYTES);
}

void blocks_decrypt(const struct blocks *blocks, uint8_t *out, const uint8_t *in, size_t count)
{
    static const uint8_t zeros[BLOCK_BYTES];
    size_t length_bytes = count * BLOCK_BYTES;
    gcry_error_t result;

    set_iv(blocks->cbc, zeros);
    result = gcry_cipher_decrypt(blocks->cbc, out, length_bytes, in, length_bytes);
    assert(result == 0);
    blocks_xor(out + BLOCK_BYTES, in, length_bytes - BLOCK_BYTES);
}

void blocks_cbc_encrypt(const struct blocks *blocks, const uint8_t *iv, uint8_t *data,
                        size_t length_bytes)
{
    gcry_error_t result;

    set_iv(blocks->cbc, iv);
    result = gcry_cipher_encrypt(blocks->cbc, data, length_bytes, NULL, 0);
    assert(result == 0);
}

void blocks_cbc_decrypt(const struct blocks *blocks, const uint8_t *iv, uint8_t *data,
                        size_t length_bytes)
{
    gcry_error_t result;

    set_iv(blocks->cbc, iv);
    result = gcry_cipher_decrypt(blocks->cbc, data, length_bytes, NULL, 0);
    assert(result == 0);
}
