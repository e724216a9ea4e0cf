/* XTS and CBC on runs of sectors, by libgcrypt: see sectors-gcrypt.h.
 *
 * The modes are written here, on blocks-gcrypt.h, so that many blocks are in work at once:
 *
 * - XTS (IEEE Std 1619-2018, 5.3 and 5.4): the tweaks of a chunk are made first, then all its
 * blocks are independent.
 * - CBC decryption: a run of sectors is one stream to the library; the first block of each
 *   sector, which it chained to the sector before, is mended.
 * - CBC encryption is a chain within a sector, but sectors are independent: block after block, that
 * of all sectors at once.  Few sectors are quicker one by one.
 *
 * The library has the key schedules in locked memory of its own; everything here that depends on a
 * key is in locked memory, too. */
#include "crypto/cipher/sectors-gcrypt.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "crypto/cipher/blocks-gcrypt.h"

#define IV_UNIT_BYTES 512u
#define CHUNK_BYTES (16u * 1024u) /* of XTS */
#define SECTORS_MAX 128u          /* at once */
#define LANES_MIN 4u              /* from here on side by side */
#define HASH_BYTES 32u            /* SHA-256 */

struct sectors {
    struct cipher cipher;
    struct secret *memory; /* in which this struct lies */
    enum cipher_mode mode;
    enum cipher_iv iv;
    struct blocks data;
    struct blocks tweak; /* XTS */
    struct blocks essiv;
    /* One block more, as blocks_encrypt() wants it. */
    uint8_t numbers[(SECTORS_MAX + 1) * BLOCK_BYTES];
    uint8_t ivs[(SECTORS_MAX + 1) * BLOCK_BYTES];
    uint8_t lanes[(SECTORS_MAX + 1) * BLOCK_BYTES];
    uint8_t tweaks[CHUNK_BYTES];
    uint8_t in[CHUNK_BYTES + BLOCK_BYTES];
};

static bool supports(const struct cipher_spec *spec)
{
    /* libgcrypt has no Twofish with 192 bits. */
    return blocks_has(spec->algorithm) &&
           !(spec->algorithm == CIPHER_TWOFISH && cipher_spec_block_key_bits(spec) == 192);
}

static void destroy(struct cipher *cipher)
{
    struct sectors *sectors = (struct sectors *)cipher;

    blocks_destroy(&sectors->data);
    blocks_destroy(&sectors->tweak);
    blocks_destroy(&sectors->essiv);
    secret_free(sectors->memory);
}

static int create_essiv(struct sectors *sectors, enum cipher_algorithm algorithm,
                        const struct secret *key, struct error *err)
{
    struct secret *hash;
    int result = secret_create(&hash, HASH_BYTES, err);

    if (result < 0)
        return result;
    gcry_md_hash_buffer(GCRY_MD_SHA256, hash->data, key->data, key->length_bytes);
    result = blocks_create(&sectors->essiv, algorithm, hash->data, HASH_BYTES, err);
    secret_free(hash);
    return result;
}

static int create(struct cipher **out, const struct cipher_spec *spec, const struct secret *key,
                  uint32_t sector_bytes, struct error *err)
{
    size_t block_key_bytes = cipher_spec_block_key_bits(spec) / 8;
    struct sectors *sectors;
    struct secret *memory;
    int result = secret_create(&memory, sizeof *sectors, err);

    if (result < 0)
        return result;
    sectors = (struct sectors *)(void *)memory->data;
    sectors->cipher = (struct cipher){ .ops = &sectors_gcrypt_ops, .sector_bytes = sector_bytes };
    sectors->memory = memory;
    sectors->mode = spec->mode;
    sectors->iv = spec->iv;
    result = blocks_create(&sectors->data, spec->algorithm, key->data, block_key_bytes, err);
    if (result == 0 && spec->mode == CIPHER_XTS)
        result = blocks_create(&sectors->tweak, spec->algorithm, key->data + block_key_bytes,
                               block_key_bytes, err);
    if (result == 0 && spec->iv == CIPHER_IV_ESSIV)
        result = create_essiv(sectors, spec->algorithm, key, err);
    if (result < 0) {
        error_prefix(err, "%s: ", spec->name);
        destroy(&sectors->cipher);
        return result;
    }
    *out = &sectors->cipher;
    return 0;
}

/* ---- IVs ---- */

static void store_number(uint8_t *iv, uint64_t number, bool big_endian)
{
    memset(iv, 0, BLOCK_BYTES);
    for (unsigned i = 0; i < 8; i++)
        iv[big_endian ? BLOCK_BYTES - 1 - i : i] = (uint8_t)(number >> (8 * i));
}

/* `plain` is like plain64 here: cipher.c splits runs where its numbers begin anew. */
static void make_ivs(struct sectors *sectors, uint64_t iv_sector, size_t count)
{
    bool essiv = sectors->iv == CIPHER_IV_ESSIV;
    uint8_t *numbers = essiv ? sectors->numbers : sectors->ivs;

    for (size_t i = 0; i < count; i++) {
        store_number(numbers + i * BLOCK_BYTES, iv_sector, sectors->iv == CIPHER_IV_PLAIN64BE);
        iv_sector += sectors->cipher.sector_bytes / IV_UNIT_BYTES;
    }
    if (essiv)
        blocks_encrypt(&sectors->essiv, sectors->ivs, numbers, count);
}

/* ---- XTS ---- */

struct tweak {
    uint64_t low, high;
};

static uint64_t load_le64(const uint8_t *from)
{
    uint64_t number = 0;

    for (unsigned i = 0; i < 8; i++)
        number |= (uint64_t)from[i] << (8 * i);
    return number;
}

static void store_le64(uint8_t *to, uint64_t number)
{
    for (unsigned i = 0; i < 8; i++)
        to[i] = (uint8_t)(number >> (8 * i));
}

/* Times x in GF(2^128) modulo x^128 + x^7 + x^2 + x + 1 (5.2). */
static struct tweak times_x(struct tweak tweak)
{
    uint64_t carry = tweak.high >> 63;

    return (struct tweak){
        .low = tweak.low << 1 ^ (carry << 7 | carry << 2 | carry << 1 | carry),
        .high = tweak.high << 1 | tweak.low >> 63,
    };
}

/* Of all blocks of the sectors. */
static void make_tweaks(struct sectors *sectors, uint64_t iv_sector, size_t count)
{
    size_t sector_bytes = sectors->cipher.sector_bytes;
    uint8_t *to = sectors->tweaks;

    make_ivs(sectors, iv_sector, count);
    blocks_encrypt(&sectors->tweak, sectors->lanes, sectors->ivs, count);
    for (size_t i = 0; i < count; i++) {
        const uint8_t *first = sectors->lanes + i * BLOCK_BYTES;
        struct tweak tweak = { load_le64(first), load_le64(first + 8) };

        for (const uint8_t *end = to + sector_bytes; to < end; to += BLOCK_BYTES) {
            store_le64(to, tweak.low);
            store_le64(to + 8, tweak.high);
            tweak = times_x(tweak);
        }
    }
}

static void crypt_xts(struct sectors *sectors, uint64_t iv_sector, uint8_t *data,
                      size_t length_bytes, bool encrypt)
{
    size_t sector_bytes = sectors->cipher.sector_bytes;

    while (length_bytes > 0) {
        size_t now = length_bytes < CHUNK_BYTES ? length_bytes : CHUNK_BYTES;

        make_tweaks(sectors, iv_sector, now / sector_bytes);
        memcpy(sectors->in, data, now);
        blocks_xor(sectors->in, sectors->tweaks, now);
        if (encrypt)
            blocks_encrypt(&sectors->data, data, sectors->in, now / BLOCK_BYTES);
        else
            blocks_decrypt(&sectors->data, data, sectors->in, now / BLOCK_BYTES);
        blocks_xor(data, sectors->tweaks, now);
        iv_sector += now / IV_UNIT_BYTES;
        data += now;
        length_bytes -= now;
    }
}

/* ---- CBC ---- */

static void cbc_encrypt_one_by_one(struct sectors *sectors, uint8_t *data, size_t count)
{
    size_t sector_bytes = sectors->cipher.sector_bytes;

    for (size_t i = 0; i < count; i++)
        blocks_cbc_encrypt(&sectors->data, sectors->ivs + i * BLOCK_BYTES, data + i * sector_bytes,
                           sector_bytes);
}

/* `ivs` becomes the block that was last encrypted of each sector. */
static void cbc_encrypt_side_by_side(struct sectors *sectors, uint8_t *data, size_t count)
{
    size_t sector_bytes = sectors->cipher.sector_bytes;

    for (size_t at = 0; at < sector_bytes; at += BLOCK_BYTES) {
        for (size_t i = 0; i < count; i++)
            memcpy(sectors->lanes + i * BLOCK_BYTES, data + i * sector_bytes + at, BLOCK_BYTES);
        blocks_xor(sectors->lanes, sectors->ivs, count * BLOCK_BYTES);
        blocks_encrypt(&sectors->data, sectors->ivs, sectors->lanes, count);
        for (size_t i = 0; i < count; i++)
            memcpy(data + i * sector_bytes + at, sectors->ivs + i * BLOCK_BYTES, BLOCK_BYTES);
    }
}

static void cbc_decrypt(struct sectors *sectors, uint8_t *data, size_t count)
{
    size_t sector_bytes = sectors->cipher.sector_bytes;
    uint8_t *lasts = sectors->lanes; /* of the ciphertext of each sector */

    for (size_t i = 0; i < count; i++)
        memcpy(lasts + i * BLOCK_BYTES, data + (i + 1) * sector_bytes - BLOCK_BYTES, BLOCK_BYTES);
    blocks_cbc_decrypt(&sectors->data, sectors->ivs, data, count * sector_bytes);
    for (size_t i = 1; i < count; i++) {
        blocks_xor(data + i * sector_bytes, lasts + (i - 1) * BLOCK_BYTES, BLOCK_BYTES);
        blocks_xor(data + i * sector_bytes, sectors->ivs + i * BLOCK_BYTES, BLOCK_BYTES);
    }
}

static void crypt_cbc(struct sectors *sectors, uint64_t iv_sector, uint8_t *data,
                      size_t length_bytes, bool encrypt)
{
    size_t sector_bytes = sectors->cipher.sector_bytes;

    while (length_bytes > 0) {
        size_t count = length_bytes / sector_bytes;

        if (count > SECTORS_MAX)
            count = SECTORS_MAX;
        make_ivs(sectors, iv_sector, count);
        if (!encrypt)
            cbc_decrypt(sectors, data, count);
        else if (count < LANES_MIN)
            cbc_encrypt_one_by_one(sectors, data, count);
        else
            cbc_encrypt_side_by_side(sectors, data, count);
        iv_sector += count * sector_bytes / IV_UNIT_BYTES;
        data += count * sector_bytes;
        length_bytes -= count * sector_bytes;
    }
}

/* ---- both ---- */

static void crypt_run(struct cipher *cipher, uint64_t iv_sector, uint8_t *data, size_t length_bytes,
                      bool encrypt)
{
    struct sectors *sectors = (struct sectors *)cipher;

    if (sectors->mode == CIPHER_XTS)
        crypt_xts(sectors, iv_sector, data, length_bytes, encrypt);
    else
        crypt_cbc(sectors, iv_sector, data, length_bytes, encrypt);
}

static void encrypt(struct cipher *cipher, uint64_t iv_sector, uint8_t *data, size_t length_bytes)
{
    crypt_run(cipher, iv_sector, data, length_bytes, true);
}

static void decrypt(struct cipher *cipher, uint64_t iv_sector, uint8_t *data, size_t length_bytes)
{
    crypt_run(cipher, iv_sector, data, length_bytes, false);
}

const struct cipher_ops sectors_gcrypt_ops = {
    .name = "gcrypt",
    .supports = supports,
    .create = create,
    .encrypt = encrypt,
    .decrypt = decrypt,
    .destroy = destroy,
};
