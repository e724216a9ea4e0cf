/* Block ciphers against published vectors, and what the modes and IVs do with them, for every
 * implementation that supports them. */
#include <stdio.h>

#include "crypto/cipher/cipher.h"
#include "tests/support/check.h"

#define SECTOR_BYTES 512u
#define BLOCK_BYTES 16u
#define RUN_BYTES (16u * 4096u)

static uint8_t hex_digit(char c)
{
    return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* Returns the number of bytes. */
static size_t from_hex(uint8_t *out, const char *hex)
{
    size_t length = strlen(hex) / 2;

    for (size_t i = 0; i < length; i++)
        out[i] = (uint8_t)(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
    return length;
}

static struct cipher *make_cipher(const char *name, const uint8_t *key_bytes, size_t length_bytes,
                                  uint32_t sector_bytes)
{
    struct cipher *cipher = NULL;
    struct cipher_spec spec;
    struct secret *key = NULL;
    struct error err = { "" };

    EXPECT(cipher_spec_parse(&spec, name, (unsigned)length_bytes * 8, &err) == 0);
    EXPECT(secret_copy(&key, key_bytes, length_bytes, &err) == 0);
    EXPECT(cipher_create(&cipher, &spec, key, sector_bytes, &err) == 0);
    secret_free(key);
    return cipher;
}

/* The first block of sector 0 in CBC with plain64, whose IV is zeros, is the block cipher
 * itself. */
static void published_blocks(void)
{
    static const struct {
        const char *cipher, *key, *plain, *encrypted;
    } vectors[] = {
        /* FIPS 197, Appendix C */
        { "aes", "000102030405060708090a0b0c0d0e0f", "00112233445566778899aabbccddeeff",
          "69c4e0d86a7b0430d8cdb78070b4c55a" },
        { "aes", "000102030405060708090a0b0c0d0e0f1011121314151617",
          "00112233445566778899aabbccddeeff", "dda97ca4864cdfe06eaf70a0ec0d7191" },
        { "aes", "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
          "00112233445566778899aabbccddeeff", "8ea2b7ca516745bfeafc49904b496089" },
        /* NESSIE, Serpent, set 1, vector 0 */
        { "serpent", "80000000000000000000000000000000", "00000000000000000000000000000000",
          "264e5481eff42a4606abda06c0bfda3d" },
        { "serpent", "8000000000000000000000000000000000000000000000000000000000000000",
          "00000000000000000000000000000000", "a223aa1288463c0e2be38ebd825616c0" },
        /* B. Schneier et al., Twofish: A 128-Bit Block Cipher, Appendix B */
        { "twofish", "00000000000000000000000000000000", "00000000000000000000000000000000",
          "9f589f5cf6122c32b6bfec2f2ae8c35a" },
        { "twofish", "0123456789abcdeffedcba987654321000112233445566778899aabbccddeeff",
          "00000000000000000000000000000000", "37527be0052334b89f0cfccae87cfa20" },
        /* RFC 3713, Appendix A */
        { "camellia", "0123456789abcdeffedcba9876543210", "0123456789abcdeffedcba9876543210",
          "67673138549669730857065648eabe43" },
        { "camellia", "0123456789abcdeffedcba98765432100011223344556677",
          "0123456789abcdeffedcba9876543210", "b4993401b3e996f84ee5cee7d79b09b9" },
        { "camellia", "0123456789abcdeffedcba987654321000112233445566778899aabbccddeeff",
          "0123456789abcdeffedcba9876543210", "9acc237dff16d76c20ef7c919e3a7509" },
    };

    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        uint8_t key[32], data[SECTOR_BYTES] = { 0 }, plain[SECTOR_BYTES], encrypted[BLOCK_BYTES];
        struct cipher *cipher;
        char name[32];

        (void)snprintf(name, sizeof name, "%s-cbc-plain64", vectors[i].cipher);
        cipher = make_cipher(name, key, from_hex(key, vectors[i].key), SECTOR_BYTES);
        (void)from_hex(data, vectors[i].plain);
        memcpy(plain, data, sizeof plain);
        (void)from_hex(encrypted, vectors[i].encrypted);
        cipher_encrypt(cipher, 0, data, sizeof data);
        EXPECT(memcmp(data, encrypted, sizeof encrypted) == 0);
        cipher_decrypt(cipher, 0, data, sizeof data);
        EXPECT(memcmp(data, plain, sizeof plain) == 0);
        cipher_destroy(cipher);
    }
}

static const char *const names[] = {
    "aes-xts-plain64",
    "aes-xts-plain",
    "aes-xts-essiv:sha256",
    "aes-cbc-essiv:sha256",
    "aes-cbc-plain",
    "aes-cbc-plain64",
    "aes-cbc-plain64be",
    "serpent-xts-plain64",
    "serpent-xts-plain",
    "twofish-xts-plain64",
    "serpent-cbc-essiv:sha256",
    "camellia-xts-plain64",
    "twofish-cbc-plain64",
    "camellia-cbc-plain64",
};

static const uint8_t some_key[64] = { 3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3 };
static uint8_t whole[RUN_BYTES], pieces[RUN_BYTES], plain[RUN_BYTES];

static struct cipher *make_any(const char *name, uint32_t sector_bytes)
{
    return make_cipher(name, some_key, cipher_spec_default_key_bits(name) / 8, sector_bytes);
}

/* Runs of all lengths: each sector depends on its number alone. */
static void try_pieces(const char *name, uint32_t sector_bytes, uint64_t first)
{
    struct cipher *cipher = make_any(name, sector_bytes);
    size_t sectors = 0;

    memcpy(whole, plain, sizeof whole);
    memcpy(pieces, plain, sizeof pieces);
    cipher_encrypt(cipher, first, whole, sizeof whole);
    for (size_t at = 0, now; at < sizeof pieces; at += now) {
        now = ++sectors * sector_bytes;
        if (now > sizeof pieces - at)
            now = sizeof pieces - at;
        cipher_encrypt(cipher, first + at / 512, pieces + at, now);
    }
    EXPECT(memcmp(whole, pieces, sizeof whole) == 0);
    for (size_t at = 0; at < sizeof pieces; at += sector_bytes)
        cipher_decrypt(cipher, first + at / 512, pieces + at, sector_bytes);
    EXPECT(memcmp(pieces, plain, sizeof plain) == 0);
    cipher_decrypt(cipher, first, whole, sizeof whole);
    EXPECT(memcmp(whole, plain, sizeof plain) == 0);
    cipher_destroy(cipher);
}

static void sectors_are_independent(void)
{
    for (size_t i = 0; i < sizeof plain; i++)
        plain[i] = (uint8_t)(i * 7 + (i >> 9));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        for (uint32_t sector_bytes = 512; sector_bytes <= 4096; sector_bytes *= 2) {
            try_pieces(names[i], sector_bytes, 5);
            try_pieces(names[i], sector_bytes, UINT32_MAX - 42);
        }
}

/* Behind 2^32 sectors `plain` is what it was at the start, and plain64 is not. */
static void plain_begins_anew(void)
{
    static const char *const pairs[][2] = {
        { "aes-xts-plain", "aes-xts-plain64" },
        { "aes-cbc-plain", "aes-cbc-plain64" },
        { "serpent-xts-plain", "serpent-xts-plain64" },
    };
    const uint64_t beyond = UINT64_C(1) << 32;

    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        for (uint32_t sector_bytes = 512; sector_bytes <= 4096; sector_bytes *= 8) {
            struct cipher *wraps = make_any(pairs[i][0], sector_bytes);
            struct cipher *counts = make_any(pairs[i][1], sector_bytes);
            size_t half = sizeof whole / 2;

            memset(whole, 0, sizeof whole);
            memset(pieces, 0, sizeof pieces);
            cipher_encrypt(wraps, beyond - half / 512, whole, sizeof whole);
            cipher_encrypt(counts, beyond - half / 512, pieces, half);
            cipher_encrypt(counts, 0, pieces + half, half);
            EXPECT(memcmp(whole, pieces, sizeof whole) == 0);
            cipher_destroy(wraps);
            cipher_destroy(counts);
        }
}

static void weaknesses_are_named(void)
{
    struct cipher_spec spec;
    const uint64_t tib = UINT64_C(1) << 40;

    EXPECT(cipher_spec_parse(&spec, "aes-xts-plain", 512, NULL) == 0);
    EXPECT(cipher_spec_weakness(&spec, 2 * tib) == NULL);
    EXPECT(strstr(cipher_spec_weakness(&spec, 2 * tib + 512), "beyond 2 TiB") != NULL);
    EXPECT(cipher_spec_parse(&spec, "aes-cbc-plain64", 256, NULL) == 0);
    EXPECT(strstr(cipher_spec_weakness(&spec, 512), "can be predicted") != NULL);
    EXPECT(cipher_spec_parse(&spec, "serpent-cbc-essiv:sha256", 256, NULL) == 0);
    EXPECT(cipher_spec_weakness(&spec, 9 * tib) == NULL);
}

static const struct check checks[] = {
    { "published vectors of the block ciphers", published_blocks },
    { "a sector depends on its number alone, however long the run", sectors_are_independent },
    { "the IV plain begins anew after 2 TiB", plain_begins_anew },
    { "weaknesses are named", weaknesses_are_named },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
