/* Keyslots of LUKS1: see luks1-own-keyslot.h. */
#include "crypto/luks/luks1-own-keyslot.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <gnutls/crypto.h>

#include "crypto/luks/luks-af.h"
#include "crypto/luks/luks-hash.h"
#include "crypto/luks/cryptsetup-library.h"
#include "crypto/luks/luks-store.h"
#include "crypto/luks/luks1-policy.h"

#define SALT_BYTES 32u
#define DIGEST_BYTES 20u
#define SLOT_IN_USE 0x00ac71f3u

/* Offsets of the fields; all numbers are big-endian. */
enum {
    AT_CIPHER = 8,
    CIPHER_BYTES = 32,
    AT_DIGEST = 112,
    AT_DIGEST_SALT = 132,
    KEYSLOT_AT_ACTIVE = 0,
    KEYSLOT_AT_ITERATIONS = 4,
    KEYSLOT_AT_SALT = 8,
    KEYSLOT_SALT_END = 40,
};

static size_t keyslot_at(unsigned number)
{
    return LUKS1_KEYSLOTS_AT + number * (size_t)LUKS1_KEYSLOT_BYTES;
}

static void store_be32(uint8_t *out, uint32_t number)
{
    for (unsigned i = 0; i < 4; i++)
        out[i] = (uint8_t)(number >> (24 - 8 * i));
}

static int load_slot(struct luks_own_keyslot *slot, const struct luks1_header *header,
                     unsigned number, struct error *err)
{
    const struct luks1_keyslot *keyslot = &header->keyslots[number];
    char name[sizeof header->cipher + sizeof header->mode];
    int result = luks_hash_number(&slot->af_hash, header->hash, err);

    slot->kdf.hash = slot->af_hash;
    slot->kdf.iterations = keyslot->iterations;
    slot->key_bytes = header->key_bytes;
    slot->offset_bytes = (uint64_t)keyslot->offset_sectors * 512;
    (void)snprintf(name, sizeof name, "%s-%s", header->cipher, header->mode);
    if (result == 0)
        result = luks_policy_cipher(&slot->cipher, name, header->key_bytes * 8, err);
    return result;
}

int luks1_own_keyslot_load(struct luks_own_keyslot *slot, struct luks_digest *digest, int image_fd,
                           unsigned number, struct error *err)
{
    uint8_t bytes[LUKS1_HEADER_BYTES];
    struct luks1_header header;
    int result = luks_store_read_memory(&image_fd, 0, bytes, sizeof bytes, err);

    if (result == 0)
        result = luks1_policy_parse(&header, bytes, err);
    if (result == 0)
        result = load_slot(slot, &header, number, err);
    if (result < 0)
        return result;
    memcpy(slot->kdf.salt, bytes + keyslot_at(number) + KEYSLOT_AT_SALT, SALT_BYTES);
    slot->kdf.salt_bytes = SALT_BYTES;
    digest->kdf = (struct luks_kdf){
        .hash = slot->af_hash,
        .iterations = header.digest_iterations,
        .salt_bytes = SALT_BYTES,
    };
    memcpy(digest->kdf.salt, bytes + AT_DIGEST_SALT, SALT_BYTES);
    memcpy(digest->digest, bytes + AT_DIGEST, DIGEST_BYTES);
    digest->digest_bytes = DIGEST_BYTES;
    return 0;
}

/* Encrypts the volume key with what the passphrase gives, into the keyslot's area. */
static int store_material(int image_fd, const struct luks_own_keyslot *slot,
                          const struct secret *volume_key, const struct secret *passphrase,
                          struct error *err)
{
    struct secret *key = NULL, *stripes = NULL;
    int result = luks_kdf_derive(&key, slot->key_bytes, &slot->kdf, passphrase, err);

    if (result == 0)
        result = secret_create(&stripes, luks_material_bytes(slot->key_bytes), err);
    if (result == 0)
        result = luks_af_split(stripes->data, volume_key, LUKS_AF_STRIPES, slot->af_hash, err);
    if (result == 0)
        result = luks_material_write(image_fd, slot, key, stripes, err);
    secret_free(stripes);
    secret_free(key);
    return result;
}

int luks1_own_keyslot_add(int image_fd, unsigned number, const struct secret *volume_key,
                          const struct secret *passphrase, uint32_t iterations, struct error *err)
{
    uint8_t fields[KEYSLOT_SALT_END];
    struct luks_own_keyslot slot = { 0 };
    struct luks_digest digest = { 0 };
    int result = luks1_own_keyslot_load(&slot, &digest, image_fd, number, err);

    if (result < 0)
        return result;
    if (gnutls_rnd(GNUTLS_RND_RANDOM, slot.kdf.salt, SALT_BYTES) < 0)
        return error_set(err, -EIO, "there are no random numbers for a keyslot");
    slot.kdf.iterations = iterations;
    result = store_material(image_fd, &slot, volume_key, passphrase, err);
    if (result < 0)
        return result;
    store_be32(fields + KEYSLOT_AT_ACTIVE, SLOT_IN_USE);
    store_be32(fields + KEYSLOT_AT_ITERATIONS, iterations);
    memcpy(fields + KEYSLOT_AT_SALT, slot.kdf.salt, SALT_BYTES);
    return cryptsetup_image_write(image_fd, keyslot_at(number), fields, sizeof fields, err);
}

int luks1_own_keyslot_rename_cipher(int image_fd, const char *cipher, struct error *err)
{
    char field[CIPHER_BYTES] = "";

    (void)snprintf(field, sizeof field, "%s", cipher);
    return cryptsetup_image_write(image_fd, AT_CIPHER, field, sizeof field, err);
}
