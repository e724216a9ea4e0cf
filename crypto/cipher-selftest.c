/* Known vectors of AES-XTS: see cipher-selftest.h.
 *
 * The keys, and the first vectors, are those of IEEE Std 1619-2018, Annex B.  Annex B has no more than
 * one sector of 512 bytes; the runs have larger and more sectors, enough to end in the middle of what
 * a kernel takes at once, and sector numbers that pass 2^32.  What they encrypt to was computed with
 * OpenSSL, sector by sector. */
#include "crypto/cipher-selftest.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gnutls/crypto.h>

#define DIGEST_BYTES 32u
#define PASSES_2_TO_THE_32 UINT64_C(0xa5fffffffd)

struct vector {
    unsigned number; /* in Annex B; 0: a run */
    unsigned key_bits;
    uint32_t sector_bytes;
    uint64_t first_sector; /* in units of 512 bytes */
    size_t sectors;
    const char *sha256; /* of the ciphertext */
};

static const struct vector vectors[] = {
    { 4, 256, 512, 0, 1, "ebee4d64dd2395bb2d6a2d37a0a48ecb2bf4913cfc99d27c2214f2f4144715ea" },
    { 10, 512, 512, 0xff, 1, "e97e974fa393af794f7a4684395814cf820de60a01eaec677d87b452e316b364" },
    { 13, 512, 512, 0xffffffff, 1,
      "c706140a11affda7402234f5e6331eacbfeb687d8e80d83962691823bb3636f0" },
    { 0, 256, 512, PASSES_2_TO_THE_32, 131,
      "0b2105f8cfff3f5c50dc9c88f8b58eead2dfcdaa0c625c630043c4c5fbedf7ed" },
    { 0, 256, 1024, PASSES_2_TO_THE_32, 9,
      "1aa65717b6ac9af6571959d8a03805c70af8da9ada1ea3c355755327437cf224" },
    { 0, 256, 2048, PASSES_2_TO_THE_32, 9,
      "8b18c54facdfdf88fbf71eba11a5bf1d317d8044ef44e92e40851110d08cad19" },
    { 0, 256, 4096, PASSES_2_TO_THE_32, 17,
      "c026455ba2254239803cffafd3ba9dc79647b51d7cfb6828f3785c41c57f6375" },
    { 0, 512, 512, PASSES_2_TO_THE_32, 131,
      "06bd5765c33fae4ef6d44af5a8e7262323669a1a68f7dbd2f1f4ff52c8f007b1" },
    { 0, 512, 1024, PASSES_2_TO_THE_32, 9,
      "2dc33df366366a9bbf7d7f68a4935e7d20ebded74566a95c25d423951ec9c4f1" },
    { 0, 512, 2048, PASSES_2_TO_THE_32, 9,
      "9a533305882df3980dfb8c29771f31faaa27162cfc9f41e1587f8e7e0deb4946" },
    { 0, 512, 4096, PASSES_2_TO_THE_32, 17,
      "f205a40092d02eaa6cb8ad298ee0ac580525f25bf057a02ddb2479fa116f222a" },
};

#define VECTOR_COUNT (sizeof(vectors) / sizeof(vectors[0]))
#define RUN_BYTES_MAX (17u * 4096)

/* Digits of e and of pi. */
static const uint8_t data_key[32] = {
    0x27, 0x18, 0x28, 0x18, 0x28, 0x45, 0x90, 0x45, 0x23, 0x53, 0x60, 0x28, 0x74, 0x71, 0x35, 0x26,
    0x62, 0x49, 0x77, 0x57, 0x24, 0x70, 0x93, 0x69, 0x99, 0x59, 0x57, 0x49, 0x66, 0x96, 0x76, 0x27,
};
static const uint8_t tweak_key[32] = {
    0x31, 0x41, 0x59, 0x26, 0x53, 0x58, 0x97, 0x93, 0x23, 0x84, 0x62, 0x64, 0x33, 0x83, 0x27, 0x95,
    0x02, 0x88, 0x41, 0x97, 0x16, 0x93, 0x99, 0x37, 0x51, 0x05, 0x82, 0x09, 0x74, 0x94, 0x45, 0x92,
};

/* Annex B counts from 00 to ff, twice; here longer runs differ from sector to sector as well. */
static uint8_t plain_byte(const struct vector *vector, size_t i)
{
    return (uint8_t)(vector->number != 0 ? i : i + 29 * (i >> 8));
}

static struct cipher_spec spec_of(const struct vector *vector)
{
    return (struct cipher_spec){ .name = "aes-xts-plain64", .key_bits = vector->key_bits };
}

static int make_cipher(struct cipher **out, const struct cipher_ops *ops,
                       const struct vector *vector, struct error *err)
{
    struct cipher_spec spec = spec_of(vector);
    struct secret *key;
    size_t half_bytes = vector->key_bits / 16;
    int result = secret_create(&key, 2 * half_bytes, err);

    if (result < 0)
        return result;
    memcpy(key->data, data_key, half_bytes);
    memcpy(key->data + half_bytes, tweak_key, half_bytes);
    result = ops->create(out, &spec, key, vector->sector_bytes, err);
    secret_free(key);
    return result;
}

static bool digest_is(const char *hex, const uint8_t *data, size_t length_bytes)
{
    uint8_t digest[DIGEST_BYTES];
    char digest_hex[2 * DIGEST_BYTES + 1];

    if (gnutls_hash_fast(GNUTLS_DIG_SHA256, data, length_bytes, digest) < 0)
        return false;
    for (size_t i = 0; i < DIGEST_BYTES; i++)
        (void)snprintf(digest_hex + 2 * i, 3, "%02x", digest[i]);
    return strcmp(digest_hex, hex) == 0;
}

static bool is_plain(const struct vector *vector, const uint8_t *data, size_t length_bytes)
{
    size_t i = 0;

    while (i < length_bytes && data[i] == plain_byte(vector, i))
        i++;
    return i == length_bytes;
}

static int check(const struct cipher_ops *ops, const struct vector *vector, uint8_t *data,
                 struct error *err)
{
    size_t length_bytes = vector->sectors * vector->sector_bytes;
    const char *wrong = NULL;
    struct cipher *cipher;
    int result = make_cipher(&cipher, ops, vector, err);

    if (result < 0)
        return result;
    assert(length_bytes <= RUN_BYTES_MAX);
    for (size_t i = 0; i < length_bytes; i++)
        data[i] = plain_byte(vector, i);
    ops->encrypt(cipher, vector->first_sector, data, length_bytes);
    if (!digest_is(vector->sha256, data, length_bytes))
        wrong = "encrypts";
    ops->decrypt(cipher, vector->first_sector, data, length_bytes);
    if (!wrong && !is_plain(vector, data, length_bytes))
        wrong = "decrypts";
    ops->destroy(cipher);
    if (!wrong)
        return 0;
    return error_set(err, -EIO, "it %s %zu bytes in sectors of %u wrongly with a key of %u bits",
                     wrong, length_bytes, vector->sector_bytes, vector->key_bits);
}

int cipher_selftest(const struct cipher_ops *ops, struct error *err)
{
    uint8_t *data = malloc(RUN_BYTES_MAX);
    int result = 0;

    if (!data)
        return error_set(err, -ENOMEM, "no memory to test ciphers");
    for (size_t i = 0; i < VECTOR_COUNT && result == 0; i++) {
        struct cipher_spec spec = spec_of(&vectors[i]);

        if (ops->supports(&spec))
            result = check(ops, &vectors[i], data, err);
    }
    free(data);
    return result;
}
