/* Opening keyslots: see luks-own-keyslot.h. */
#include "crypto/luks/luks-own-keyslot.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <gnutls/gnutls.h>

#include "crypto/luks/luks-af.h"
#include "crypto/luks/luks-hash.h"
#include "crypto/luks/luks-header.h"
#include "crypto/luks/luks-material.h"
#include "crypto/luks/luks1-own-keyslot.h"
#include "crypto/luks/luks2-json.h"

bool luks_own_keyslot_is_ours(const struct cipher_spec *spec)
{
    return spec->algorithm != CIPHER_AES || cipher_spec_block_key_bits(spec) == 192;
}

/* ---- what LUKS2 says ---- */

static int load_base64(uint8_t *out, size_t *length_bytes, size_t bytes_max,
                       struct json_object *object, const char *name, struct error *err)
{
    const char *text = NULL;
    gnutls_datum_t encoded, decoded;
    int result = luks2_json_text(&text, object, name, err);

    if (result < 0)
        return result;
    encoded = (gnutls_datum_t){ (unsigned char *)(uintptr_t)text, (unsigned)strlen(text) };
    if (gnutls_base64_decode2(&encoded, &decoded) < 0)
        return error_set(err, -EINVAL, "'%s' is not in base64", name);
    if (decoded.size == 0 || decoded.size > bytes_max)
        result = error_set(err, -EINVAL, "'%s' has %u bytes, expected 1 to %zu", name, decoded.size,
                           bytes_max);
    else
        memcpy(out, decoded.data, decoded.size);
    *length_bytes = decoded.size;
    gnutls_free(decoded.data);
    return result;
}

static int load_hash(int *number, struct json_object *object, struct error *err)
{
    const char *hash = NULL;
    int result = luks2_json_text(&hash, object, "hash", err);

    return result < 0 ? result : luks_hash_number(number, hash, err);
}

static int load_pbkdf2(struct luks_kdf *kdf, struct json_object *object, struct error *err)
{
    int result = load_hash(&kdf->hash, object, err);

    kdf->type = LUKS_KDF_PBKDF2;
    if (result == 0)
        result = luks2_json_number(&kdf->iterations, object, "iterations", err);
    return result;
}

static int load_argon2(struct luks_kdf *kdf, const char *type, struct json_object *object,
                       struct error *err)
{
    int result = luks2_json_number(&kdf->iterations, object, "time", err);

    kdf->type = strcmp(type, "argon2i") == 0 ? LUKS_KDF_ARGON2I : LUKS_KDF_ARGON2ID;
    if (result == 0)
        result = luks2_json_number(&kdf->memory_kib, object, "memory", err);
    if (result == 0)
        result = luks2_json_number(&kdf->lanes, object, "cpus", err);
    return result;
}

static int load_kdf(struct luks_kdf *kdf, struct json_object *keyslot, struct error *err)
{
    struct json_object *object = NULL;
    const char *type = NULL;
    int result = luks2_json_object(&object, keyslot, "kdf", err);

    if (result == 0)
        result = luks2_json_text(&type, object, "type", err);
    if (result == 0)
        result = strcmp(type, "pbkdf2") == 0 ? load_pbkdf2(kdf, object, err)
                                             : load_argon2(kdf, type, object, err);
    if (result == 0)
        result = load_base64(kdf->salt, &kdf->salt_bytes, sizeof kdf->salt, object, "salt", err);
    return result;
}

static int load_area(struct luks_own_keyslot *out, struct json_object *keyslot, struct error *err)
{
    struct json_object *area = NULL;
    const char *encryption = NULL;
    uint64_t key_bytes = 0;
    int result = luks2_json_object(&area, keyslot, "area", err);

    if (result == 0)
        result = luks2_json_text(&encryption, area, "encryption", err);
    if (result == 0)
        result = luks2_json_number(&key_bytes, area, "key_size", err);
    if (result == 0)
        result = luks2_json_text_number(&out->offset_bytes, area, "offset", err);
    if (result == 0)
        result = luks_policy_cipher(&out->cipher, encryption, (unsigned)key_bytes * 8, err);
    return result;
}

static struct json_object *luks2_keyslot(const struct luks_header *header, int slot)
{
    struct json_object *keyslots = NULL, *keyslot = NULL;
    char name[12];

    (void)snprintf(name, sizeof name, "%d", slot);
    if (json_object_object_get_ex(header->json, "keyslots", &keyslots))
        (void)json_object_object_get_ex(keyslots, name, &keyslot);
    return keyslot;
}

static int load_luks2_slot(struct luks_own_keyslot *out, const struct luks_header *header, int slot,
                           struct error *err)
{
    struct json_object *keyslot = luks2_keyslot(header, slot);
    struct json_object *af = NULL;
    uint64_t key_bytes = 0;
    int result;

    if (keyslot == NULL)
        return error_set(err, -ENOENT, "keyslot %d is not in use", slot);
    result = luks2_json_number(&key_bytes, keyslot, "key_size", err);
    if (result == 0)
        result = load_kdf(&out->kdf, keyslot, err);
    if (result == 0)
        result = luks2_json_object(&af, keyslot, "af", err);
    if (result == 0)
        result = load_hash(&out->af_hash, af, err);
    if (result == 0)
        result = load_area(out, keyslot, err);
    out->key_bytes = (size_t)key_bytes;
    return result;
}

/* Of segment 0: the policy has seen that there is exactly one. */
static int load_luks2_digest(struct luks_digest *out, const struct luks_header *header,
                             struct error *err)
{
    struct json_object *digests = NULL;
    int result = luks2_json_object(&digests, header->json, "digests", err);

    if (result < 0)
        return result;
    json_object_object_foreach(digests, name, digest)
    {
        struct json_object *segments = NULL;

        (void)name;
        if (luks2_json_array(&segments, digest, "segments", err) < 0 ||
            !luks2_json_array_has(segments, "0"))
            continue;
        result = load_pbkdf2(&out->kdf, digest, err);
        if (result == 0)
            result = load_base64(out->kdf.salt, &out->kdf.salt_bytes, sizeof out->kdf.salt, digest,
                                 "salt", err);
        if (result == 0)
            result = load_base64(out->digest, &out->digest_bytes, sizeof out->digest, digest,
                                 "digest", err);
        return result;
    }
    return error_set(err, -EINVAL, "segment 0 has no digest");
}

/* ---- both formats ---- */

bool luks_own_keyslot_is_ours_at(const struct luks_header *header, int slot)
{
    struct luks_own_keyslot loaded = { 0 };

    if (header->segment.type == LUKS_TYPE_1)
        return luks_own_keyslot_is_ours(&header->segment.cipher);
    return load_luks2_slot(&loaded, header, slot, NULL) == 0 &&
           luks_own_keyslot_is_ours(&loaded.cipher);
}

bool luks_own_keyslot_any_is_ours(const struct luks_header *header)
{
    if (header->segment.type == LUKS_TYPE_1)
        return luks_own_keyslot_is_ours(&header->segment.cipher);
    for (int slot = 0; slot < (int)LUKS2_KEYSLOTS_MAX; slot++)
        if (luks_own_keyslot_is_ours_at(header, slot))
            return true;
    return false;
}

uint64_t luks_own_keyslot_memory_bytes(const struct luks_header *header)
{
    uint64_t most_kib = 0;

    if (header->segment.type == LUKS_TYPE_1)
        return 0;
    for (int i = 0; i < (int)LUKS2_KEYSLOTS_MAX; i++) {
        struct luks_own_keyslot slot = { 0 };

        if (load_luks2_slot(&slot, header, i, NULL) == 0 && slot.kdf.memory_kib > most_kib)
            most_kib = slot.kdf.memory_kib;
    }
    return most_kib * 1024;
}

/* What the passphrase makes of the key material: the volume key, or noise. */
static int unwrap(struct secret *candidate, int image_fd, const struct luks_own_keyslot *slot,
                  const struct secret *passphrase, struct error *err)
{
    struct secret *key = NULL, *stripes = NULL;
    int result = luks_kdf_derive(&key, slot->cipher.key_bits / 8, &slot->kdf, passphrase, err);

    if (result == 0)
        result = secret_create(&stripes, luks_material_bytes(slot->key_bytes), err);
    if (result == 0)
        result = luks_material_read(stripes, image_fd, slot, key, err);
    if (result == 0)
        result = luks_af_merge(candidate, stripes->data, LUKS_AF_STRIPES, slot->af_hash, err);
    secret_free(stripes);
    secret_free(key);
    return result;
}

static int verify(const struct luks_digest *digest, const struct secret *candidate,
                  struct error *err)
{
    struct secret *expected = NULL, *found = NULL;
    int result = secret_copy(&expected, digest->digest, digest->digest_bytes, err);

    if (result == 0)
        result = luks_kdf_derive(&found, digest->digest_bytes, &digest->kdf, candidate, err);
    if (result == 0 && !secret_equal(expected, found))
        result = -EACCES;
    secret_free(found);
    secret_free(expected);
    return result;
}

static int load(struct luks_own_keyslot *slot, struct luks_digest *digest,
                const struct luks_header *header, int number, struct error *err)
{
    int result;

    if (header->segment.type == LUKS_TYPE_1)
        return luks1_own_keyslot_load(slot, digest, header->image_fd, (unsigned)number, err);
    result = load_luks2_slot(slot, header, number, err);
    return result < 0 ? result : load_luks2_digest(digest, header, err);
}

int luks_own_keyslot_open(struct secret **volume_key, int number, struct luks_header *header,
                          const struct secret *passphrase, struct error *err)
{
    struct luks_own_keyslot slot = { 0 };
    struct luks_digest digest = { 0 };
    struct secret *candidate = NULL;
    int result = load(&slot, &digest, header, number, err);

    if (result == 0 &&
        (passphrase->length_bytes == 0 || slot.key_bytes != header->segment.cipher.key_bits / 8))
        result = -EACCES; /* the key of something else */
    if (result == 0)
        result = secret_create(&candidate, slot.key_bytes, err);
    if (result == 0)
        result = unwrap(candidate, header->image_fd, &slot, passphrase, err);
    if (result == 0)
        result = verify(&digest, candidate, err);
    if (result == 0) {
        *volume_key = candidate;
        return 0;
    }
    secret_free(candidate);
    if (result != -EACCES)
        error_prefix(err, "keyslot %d: ", number);
    return result;
}
