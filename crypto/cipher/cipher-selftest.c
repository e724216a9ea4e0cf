/* Known vectors of all ciphers: see cipher-selftest.h.
 *
 * The keys, and the first vectors, are those of IEEE Std 1619-2018, Annex B.  Annex B has no more
 * than one sector of 512 bytes; the runs have larger and more sectors, enough to end in the middle
 * of what a kernel takes at once, and sector numbers that pass 2^32.  What they encrypt to was
 * computed block by block: AES-XTS with OpenSSL, the others with the block ciphers of nettle. */
#include "crypto/cipher/cipher-selftest.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gnutls/crypto.h>

#define DIGEST_BYTES 32u
#define XTS "aes-xts-plain64"
#define PASSES_2_TO_THE_32 UINT64_C(0xa5fffffffd)

struct vector {
    unsigned number; /* in Annex B; 0: a run */
    const char *cipher;
    unsigned key_bits;
    uint32_t sector_bytes;
    uint64_t first_sector; /* in units of 512 bytes */
    size_t sectors;
    const char *sha256; /* of the ciphertext */
};

static const struct vector vectors[] = {
    { 4, XTS, 256, 512, 0, 1, "ebee4d64dd2395bb2d6a2d37a0a48ecb2bf4913cfc99d27c2214f2f4144715ea" },
    { 10, XTS, 512, 512, 0xff, 1,
      "e97e974fa393af794f7a4684395814cf820de60a01eaec677d87b452e316b364" },
    { 13, XTS, 512, 512, 0xffffffff, 1,
      "c706140a11affda7402234f5e6331eacbfeb687d8e80d83962691823bb3636f0" },
    { 0, XTS, 256, 512, PASSES_2_TO_THE_32, 131,
      "0b2105f8cfff3f5c50dc9c88f8b58eead2dfcdaa0c625c630043c4c5fbedf7ed" },
    { 0, XTS, 256, 1024, PASSES_2_TO_THE_32, 9,
      "1aa65717b6ac9af6571959d8a03805c70af8da9ada1ea3c355755327437cf224" },
    { 0, XTS, 256, 2048, PASSES_2_TO_THE_32, 9,
      "8b18c54facdfdf88fbf71eba11a5bf1d317d8044ef44e92e40851110d08cad19" },
    { 0, XTS, 256, 4096, PASSES_2_TO_THE_32, 17,
      "c026455ba2254239803cffafd3ba9dc79647b51d7cfb6828f3785c41c57f6375" },
    { 0, XTS, 512, 512, PASSES_2_TO_THE_32, 131,
      "06bd5765c33fae4ef6d44af5a8e7262323669a1a68f7dbd2f1f4ff52c8f007b1" },
    { 0, XTS, 512, 1024, PASSES_2_TO_THE_32, 9,
      "2dc33df366366a9bbf7d7f68a4935e7d20ebded74566a95c25d423951ec9c4f1" },
    { 0, XTS, 512, 2048, PASSES_2_TO_THE_32, 9,
      "9a533305882df3980dfb8c29771f31faaa27162cfc9f41e1587f8e7e0deb4946" },
    { 0, XTS, 512, 4096, PASSES_2_TO_THE_32, 17,
      "f205a40092d02eaa6cb8ad298ee0ac580525f25bf057a02ddb2479fa116f222a" },
    { 0, "aes-xts-plain64", 384, 512, PASSES_2_TO_THE_32, 131,
      "deedf7e3fbc6fe7ba68cf78b7393d646dc27ab1b2813514c093c44f52a9faf0b" },
    { 0, "aes-xts-essiv:sha256", 512, 4096, PASSES_2_TO_THE_32, 3,
      "ab93514aaa7e36ac41043ee80d666eb3ef55ff45daf768e5b62c65eed4fec41a" },
    { 0, "aes-xts-plain64be", 256, 512, PASSES_2_TO_THE_32, 3,
      "ec2acfdda2a66fa82a753c2cae91e7876fa1c4bef509f95651605f54f74d578d" },
    { 0, "aes-cbc-essiv:sha256", 128, 512, PASSES_2_TO_THE_32, 131,
      "b69a1649e362739f187abe5dd49b54e2edeb07893608d0d67427cb24da3f44a6" },
    { 0, "aes-cbc-essiv:sha256", 256, 512, PASSES_2_TO_THE_32, 3,
      "5c0d16bc3a37697b9b94dbb0c21a28bacb27e157d46c5db9de7aa380b4cba44a" },
    { 0, "aes-cbc-essiv:sha256", 256, 512, PASSES_2_TO_THE_32, 131,
      "26dfc58ed6b616809c366392fe91eb0c49d408853bd767de32ba272bbd45fc1a" },
    { 0, "aes-cbc-essiv:sha256", 256, 4096, PASSES_2_TO_THE_32, 17,
      "dbb2c21577664e7ddfde46a3c7af07708a5aae74d62dfc19ffd25167e482af4e" },
    { 0, "aes-cbc-plain64", 192, 1024, PASSES_2_TO_THE_32, 9,
      "cecd3fdbf4a6e8d93422c83c784d1ee4b18910abfda9b14d1d126d72f452dfa8" },
    { 0, "aes-cbc-plain64be", 256, 512, PASSES_2_TO_THE_32, 131,
      "3d0ba2da926298dce0e8a482c1a8dffad4619a878d3bb6d0fa94f5c20433af03" },
    { 0, "serpent-xts-plain64", 256, 512, PASSES_2_TO_THE_32, 131,
      "94e4483fcb0c3e0e8ae6030c07733e536043b8bb0df1440886256c28bb9880cd" },
    { 0, "serpent-xts-plain64", 384, 512, PASSES_2_TO_THE_32, 3,
      "6ddd828dc01fb586e8b2113eb4dfeea91e6fb805b3b36481a746a3ebbc4c3e3f" },
    { 0, "serpent-xts-plain64", 512, 4096, PASSES_2_TO_THE_32, 17,
      "10c9001239ed9944eefef36538af91f68c83b756a1f67ed19158e00adccd523b" },
    { 0, "serpent-cbc-essiv:sha256", 256, 512, PASSES_2_TO_THE_32, 131,
      "a9777630760ae6d1e7a7bfa1185a86341cb11be30901092e8c2f8e1625344ab0" },
    { 0, "serpent-cbc-essiv:sha256", 128, 4096, PASSES_2_TO_THE_32, 3,
      "679ee9aa250d81991a4fdae84f85e9c0093545a2f368a1c606cc33d31eea2f92" },
    { 0, "twofish-xts-plain64", 256, 512, PASSES_2_TO_THE_32, 131,
      "3d00d3952d731153bb84d70db918f74b8c069bc9c5d4375acb5bb40f9b05563b" },
    { 0, "twofish-xts-plain64", 512, 4096, PASSES_2_TO_THE_32, 17,
      "ef1d790b738791aedce1b832eb10eaada1069fae25beb9c5752359cb8822401c" },
    { 0, "twofish-cbc-essiv:sha256", 256, 512, PASSES_2_TO_THE_32, 131,
      "e7173d572bfcb8553e757066cd2255d22196989343b73e439cd2785eab208fd2" },
    { 0, "twofish-cbc-essiv:sha256", 128, 4096, PASSES_2_TO_THE_32, 3,
      "6bee4b409ff2f5dcaa34042fad8d8a1ca605c93a3a091c9048ab7f14bb7684c1" },
    { 0, "camellia-xts-plain64", 256, 512, PASSES_2_TO_THE_32, 131,
      "cf7802c89bf2ccb7055cc1b2e39c8edc272c6c7ab9557af8b745b73716393fca" },
    { 0, "camellia-xts-plain64", 512, 4096, PASSES_2_TO_THE_32, 17,
      "ea83af04b7c698b5eca0c1f1b15d9443a50b7c4e47c2413dfdfb83742565fdb0" },
    { 0, "camellia-cbc-essiv:sha256", 256, 512, PASSES_2_TO_THE_32, 131,
      "bf0f513b963129785423e74f3671182f8743a1f4686e99b88c2f16901ee39abf" },
    { 0, "camellia-cbc-plain64", 192, 4096, PASSES_2_TO_THE_32, 3,
      "70d82fa5e7737f73d44ae1baa597e3ce0185ae45cd05060023003435d7fc2f3a" },
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
    struct cipher_spec spec;
    int result = cipher_spec_parse(&spec, vector->cipher, vector->key_bits, NULL);

    assert(result == 0);
    return spec;
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
    /* Which is also a key of CBC. */
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
    if (wrong == NULL && !is_plain(vector, data, length_bytes))
        wrong = "decrypts";
    ops->destroy(cipher);
    if (wrong == NULL)
        return 0;
    return error_set(err, -EIO,
                     "it %s %zu bytes in sectors of %u wrongly with %s and a key of %u bits", wrong,
                     length_bytes, vector->sector_bytes, vector->cipher, vector->key_bits);
}

int cipher_selftest(const struct cipher_ops *ops, enum cipher_algorithm algorithm,
                    struct error *err)
{
    uint8_t *data = malloc(RUN_BYTES_MAX);
    int result = 0;

    if (data == NULL)
        return error_no_memory(err, "to test ciphers");
    for (size_t i = 0; i < VECTOR_COUNT && result == 0; i++) {
        struct cipher_spec spec = spec_of(&vectors[i]);

        if (spec.algorithm == algorithm && ops->supports(&spec))
            result = check(ops, &vectors[i], data, err);
    }
    free(data);
    return result;
}
