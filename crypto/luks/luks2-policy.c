/* What a LUKS2 header may say: see luks2-policy.h and luks-policy.h. */
#include "crypto/luks/luks2-policy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "crypto/luks/luks2-json.h"
#include "crypto/luks/luks-quote.h"

#define AREA_ALIGN_BYTES 4096u
/* All software writes 32. */
#define SALT_BYTES_MIN 16u
#define SALT_BYTES_MAX 128u
/* A short one lets a wrong volume key pass, an empty one every key.  20 is that of LUKS1. */
#define DIGEST_BYTES_MIN 20u
#define DIGEST_BYTES_MAX 64u

/* Where the keyslots' areas must lie. */
struct bounds {
    uint64_t start_bytes;
    uint64_t end_bytes; /* exclusive */
};

/* Base64 of so many bytes. */
static int check_base64(struct json_object *object, const char *key, size_t bytes_min,
                        size_t bytes_max, struct error *err)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *text = NULL;
    int result = luks2_json_text(&text, object, key, err);
    size_t length, padding, bytes;

    if (result < 0)
        return result;
    length = strlen(text);
    padding = length - strspn(text, alphabet);
    if (length % 4 != 0 || padding > 2 || strspn(text + length - padding, "=") != padding)
        return error_set(err, -EINVAL, "the field '%s' is not base64", key);
    bytes = length / 4 * 3 - padding;
    if (bytes < bytes_min || bytes > bytes_max)
        return error_set(err, -EPERM, "the field '%s' has %zu bytes, expected %zu to %zu", key,
                         bytes, bytes_min, bytes_max);
    return 0;
}

/* ---- config ---- */

/* What nbdcrypt knows of and can't do yet, with the way out. */
static const struct {
    const char *name; /* a prefix */
    const char *advice;
} known_requirements[] = {
    { "online-reencrypt", "a re-encryption is under way; finish it with cryptsetup reencrypt" },
    { "offline-reencrypt", "a re-encryption is under way; finish it with cryptsetup" },
    { "opal", "the data is encrypted by OPAL hardware" },
    { "inline-hw-tags", "it uses integrity tags of the hardware" },
};

static int refuse_requirement(const char *name, struct error *err)
{
    struct luks_quoted quoted = luks_quote(name, strlen(name));

    for (size_t i = 0; i < sizeof known_requirements / sizeof known_requirements[0]; i++)
        if (strncmp(name, known_requirements[i].name, strlen(known_requirements[i].name)) == 0)
            return error_set(err, -ENOTSUP, "the header requires '%s', which is not supported: %s",
                             quoted.text, known_requirements[i].advice);
    return error_set(err, -ENOTSUP,
                     "the header requires '%s', which is unknown: the volume needs newer software",
                     quoted.text);
}

static int check_requirements(struct json_object *config, struct error *err)
{
    struct json_object *requirements = NULL;
    struct json_object *mandatory = NULL;
    struct json_object *first;
    int result;

    if (!json_object_object_get_ex(config, "requirements", &requirements))
        return 0;
    result = luks2_json_array(&mandatory, requirements, "mandatory", err);
    if (result < 0) {
        error_prefix(err, "config: requirements: ");
        return result;
    }
    if (json_object_array_length(mandatory) == 0)
        return 0;
    first = json_object_array_get_idx(mandatory, 0);
    if (!json_object_is_type(first, json_type_string))
        return error_set(err, -EINVAL, "config: requirements: 'mandatory' holds what is no name");
    return refuse_requirement(json_object_get_string(first), err);
}

/* A flag that is unknown here means nothing; what is no name is not one of a version to come. */
static int check_flag(struct json_object *flag, struct error *err)
{
    bool is_text = json_object_is_type(flag, json_type_string);
    const char *name = is_text ? json_object_get_string(flag) : "";
    size_t length = strlen(name);

    if (length > 0 && length <= LUKS2_FLAG_BYTES_MAX &&
        strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") == length)
        return 0;
    return error_set(err, -EPERM, "config: '%s' is no name of a flag",
                     luks_quote(name, length).text);
}

static int check_flags(struct luks_segment *segment, struct json_object *config, struct error *err)
{
    struct json_object *flags = NULL;
    int result;

    if (!json_object_object_get_ex(config, "flags", &flags))
        return 0;
    result = luks2_json_array(&flags, config, "flags", err);
    if (result < 0) {
        error_prefix(err, "config: ");
        return result;
    }
    if (json_object_array_length(flags) > LUKS2_FLAGS_MAX)
        return error_set(err, -EPERM, "config: more than %u flags", LUKS2_FLAGS_MAX);
    for (size_t i = 0; i < json_object_array_length(flags) && result == 0; i++)
        result = check_flag(json_object_array_get_idx(flags, i), err);
    segment->allow_discards = luks2_json_array_has(flags, "allow-discards");
    return result;
}

static int check_config(struct luks_segment *segment, struct bounds *bounds,
                        struct json_object *root, uint64_t copy_bytes, struct error *err)
{
    struct json_object *config = NULL;
    uint64_t keyslots_bytes = 0;
    int result = luks2_json_object(&config, root, "config", err);

    if (result < 0)
        return result;
    result = check_requirements(config, err);
    if (result < 0)
        return result;
    result = luks2_json_text_number(&keyslots_bytes, config, "keyslots_size", err);
    if (result < 0) {
        error_prefix(err, "config: ");
        return result;
    }
    if (keyslots_bytes > LUKS2_AREA_BYTES_MAX || keyslots_bytes % AREA_ALIGN_BYTES != 0)
        return error_set(err, -EPERM,
                         "config: keyslots_size %" PRIu64 " is not a multiple of %u up to %u",
                         keyslots_bytes, AREA_ALIGN_BYTES, LUKS2_AREA_BYTES_MAX);
    bounds->start_bytes = 2 * copy_bytes;
    bounds->end_bytes = bounds->start_bytes + keyslots_bytes;
    return check_flags(segment, config, err);
}

/* ---- segments ---- */

/* The only segment, named "0": more than one means that a re-encryption is under way. */
static int find_segment(struct json_object **out, struct json_object *root, struct error *err)
{
    struct json_object *segments = NULL;
    const char *type = NULL;
    int result = luks2_json_object(&segments, root, "segments", err);
    int count;

    if (result < 0)
        return result;
    count = json_object_object_length(segments);
    if (count != 1)
        return error_set(err, -ENOTSUP, "%d segments, expected exactly one", count);
    result = luks2_json_object(out, segments, "0", err);
    if (result == 0)
        result = luks2_json_text(&type, *out, "type", err);
    if (result != 0) {
        error_prefix(err, "segments: ");
        return result;
    }
    if (strcmp(type, "crypt") != 0)
        return error_set(err, -ENOTSUP, "segment 0: type '%s' is not supported, only 'crypt'",
                         luks_quote(type, strlen(type)).text);
    return 0;
}

static int check_segment_features(struct json_object *object, struct error *err)
{
    struct json_object *flags = NULL;

    if (json_object_object_get_ex(object, "integrity", NULL))
        return error_set(err, -ENOTSUP,
                         "segment 0: authenticated encryption ('integrity') is not supported");
    if (!json_object_object_get_ex(object, "flags", &flags))
        return 0;
    if (!json_object_is_type(flags, json_type_array) || json_object_array_length(flags) != 0)
        return error_set(err, -ENOTSUP,
                         "segment 0: it has flags, which belong to a re-encryption under way; "
                         "finish it with cryptsetup reencrypt");
    return 0;
}

static int check_sector_size(struct luks_segment *segment, struct json_object *object,
                             struct error *err)
{
    uint64_t sector_bytes = 0;
    int result = luks2_json_number(&sector_bytes, object, "sector_size", err);

    if (result < 0)
        return result;
    if (sector_bytes != 512 && sector_bytes != 1024 && sector_bytes != 2048 && sector_bytes != 4096)
        return error_set(err, -EPERM,
                         "sector size %" PRIu64 " is not one of 512, 1024, 2048 and 4096",
                         sector_bytes);
    segment->sector_bytes = (uint32_t)sector_bytes;
    return 0;
}

/* 0: dynamic, the rest of the image. */
static int check_segment_size(uint64_t *fixed_bytes, const struct luks_segment *segment,
                              struct json_object *object, struct error *err)
{
    const char *text = NULL;
    int result = luks2_json_text(&text, object, "size", err);

    *fixed_bytes = 0;
    if (result < 0 || strcmp(text, "dynamic") == 0)
        return result;
    result = luks2_json_text_number(fixed_bytes, object, "size", err);
    if (result < 0)
        return result;
    if (*fixed_bytes == 0 || *fixed_bytes % segment->sector_bytes != 0)
        return error_set(err, -EPERM, "size %" PRIu64 " is not a multiple of its sectors of %u",
                         *fixed_bytes, segment->sector_bytes);
    return 0;
}

static int check_segment_place(struct luks_segment *segment, struct json_object *object,
                               struct error *err)
{
    int result = luks2_json_text_number(&segment->payload_offset_bytes, object, "offset", err);

    if (result == 0)
        result = luks2_json_text_number(&segment->iv_offset_sectors, object, "iv_tweak", err);
    if (result < 0)
        return result;
    if (segment->payload_offset_bytes % 512 != 0)
        return error_set(err, -EPERM, "offset %" PRIu64 " is not a multiple of 512",
                         segment->payload_offset_bytes);
    return 0;
}

/* The numbers of segment 0; its size is checked against the image. */
static int check_segment(struct luks_segment *segment, struct json_object *object,
                         const struct bounds *bounds, const struct luks_sizes *sizes,
                         struct error *err)
{
    uint64_t fixed_bytes = 0;
    int result = check_sector_size(segment, object, err);

    if (result == 0)
        result = check_segment_place(segment, object, err);
    if (result == 0)
        result = check_segment_size(&fixed_bytes, segment, object, err);
    if (result < 0) {
        error_prefix(err, "segment 0: ");
        return result;
    }
    result = luks_policy_payload(segment, fixed_bytes, sizes, err);
    if (result < 0)
        return result;
    if (!sizes->detached && segment->payload_offset_bytes < bounds->end_bytes)
        return error_set(err, -EPERM,
                         "segment 0: the payload begins at byte %" PRIu64
                         ", inside the header, which ends at %" PRIu64
                         " (give a detached header with --header, and the data as the image)",
                         segment->payload_offset_bytes, bounds->end_bytes);
    return 0;
}

/* ---- keyslots ---- */

static int check_kdf(struct json_object *keyslot, struct error *err)
{
    struct json_object *kdf = NULL;
    const char *type = NULL, *hash = NULL;
    uint64_t iterations = 0, passes = 0, memory_kib = 0, lanes = 0;
    int result = luks2_json_object(&kdf, keyslot, "kdf", err);

    if (result == 0)
        result = check_base64(kdf, "salt", SALT_BYTES_MIN, SALT_BYTES_MAX, err);
    if (result == 0)
        result = luks2_json_text(&type, kdf, "type", err);
    if (result != 0)
        return result;
    if (strcmp(type, "pbkdf2") == 0) {
        result = luks2_json_text(&hash, kdf, "hash", err);
        if (result == 0)
            result = luks_policy_hash(hash, err);
        if (result == 0)
            result = luks2_json_number(&iterations, kdf, "iterations", err);
        return result < 0 ? result : luks_policy_pbkdf2(iterations, err);
    }
    if (strcmp(type, "argon2i") != 0 && strcmp(type, "argon2id") != 0)
        return error_set(err, -ENOTSUP, "key derivation '%s' is not supported",
                         luks_quote(type, strlen(type)).text);
    result = luks2_json_number(&passes, kdf, "time", err);
    if (result == 0)
        result = luks2_json_number(&memory_kib, kdf, "memory", err);
    if (result == 0)
        result = luks2_json_number(&lanes, kdf, "cpus", err);
    return result < 0 ? result : luks_policy_argon2(passes, memory_kib, lanes, err);
}

static int check_af(struct json_object *keyslot, struct error *err)
{
    struct json_object *af = NULL;
    const char *type = NULL, *hash = NULL;
    uint64_t stripes = 0;
    int result = luks2_json_object(&af, keyslot, "af", err);

    if (result == 0)
        result = luks2_json_text(&type, af, "type", err);
    if (result == 0)
        result = luks2_json_text(&hash, af, "hash", err);
    if (result == 0)
        result = luks2_json_number(&stripes, af, "stripes", err);
    if (result != 0)
        return result;
    if (strcmp(type, "luks1") != 0)
        return error_set(err, -ENOTSUP, "anti-forensic splitter '%s' is not supported",
                         luks_quote(type, strlen(type)).text);
    if (stripes != LUKS_AF_STRIPES)
        return error_set(err, -EPERM, "%" PRIu64 " stripes, expected %u", stripes, LUKS_AF_STRIPES);
    return luks_policy_hash(hash, err);
}

static int check_area_place(const struct luks_area *area, uint64_t key_bytes,
                            const struct bounds *bounds, struct error *err)
{
    uint64_t needed_bytes = key_bytes * LUKS_AF_STRIPES;

    /* The bounds are below 2^32, so that nothing wraps behind these comparisons. */
    if (area->offset_bytes < bounds->start_bytes || area->offset_bytes >= bounds->end_bytes)
        return error_set(err, -EPERM,
                         "its area begins at byte %" PRIu64
                         ", outside the keyslots' part of the header (%" PRIu64 " to %" PRIu64 ")",
                         area->offset_bytes, bounds->start_bytes, bounds->end_bytes);
    if (area->length_bytes > bounds->end_bytes - area->offset_bytes)
        return error_set(err, -EPERM,
                         "its area of %" PRIu64
                         " bytes ends outside the keyslots' part of the header (%" PRIu64
                         " to %" PRIu64 ")",
                         area->length_bytes, bounds->start_bytes, bounds->end_bytes);
    if (area->length_bytes < needed_bytes)
        return error_set(err, -EPERM,
                         "its area of %" PRIu64 " bytes is too small for a key of %" PRIu64
                         " bytes",
                         area->length_bytes, key_bytes);
    return 0;
}

/* The key material is encrypted too.  What libcryptsetup does not decrypt by itself is not for it:
 * see luks-own-keyslot.h. */
static int check_area_cipher(struct json_object *object, struct error *err)
{
    struct cipher_spec spec;
    const char *encryption = NULL;
    uint64_t key_bytes = 0;
    int result = luks2_json_text(&encryption, object, "encryption", err);

    if (result == 0)
        result = luks2_json_number(&key_bytes, object, "key_size", err);
    if (result < 0)
        return result;
    if (key_bytes > 512)
        return error_set(err, -EPERM, "its area's key of %" PRIu64 " bytes is not supported",
                         key_bytes);
    return luks_policy_cipher(&spec, encryption, (unsigned)key_bytes * 8, err);
}

static int check_area(struct luks_area *area, struct json_object *keyslot, uint64_t key_bytes,
                      const struct bounds *bounds, struct error *err)
{
    struct json_object *object = NULL;
    const char *type = NULL;
    int result = luks2_json_object(&object, keyslot, "area", err);

    if (result == 0)
        result = luks2_json_text(&type, object, "type", err);
    if (result != 0)
        return result;
    if (strcmp(type, "raw") != 0)
        return error_set(err, -ENOTSUP, "area type '%s' is not supported, only 'raw'",
                         luks_quote(type, strlen(type)).text);
    result = check_area_cipher(object, err);
    if (result == 0)
        result = luks2_json_text_number(&area->offset_bytes, object, "offset", err);
    if (result == 0)
        result = luks2_json_text_number(&area->length_bytes, object, "size", err);
    if (result == 0)
        result = check_area_place(area, key_bytes, bounds, err);
    return result;
}

static int check_keyslot(struct luks_area *area, struct json_object *keyslot,
                         const struct bounds *bounds, struct error *err)
{
    const char *type = NULL;
    uint64_t key_bytes = 0;
    int result = luks2_json_text(&type, keyslot, "type", err);

    if (result < 0)
        return result;
    if (strcmp(type, "luks2") != 0)
        return error_set(err, -ENOTSUP, "type '%s' is not supported, only 'luks2'",
                         luks_quote(type, strlen(type)).text);
    result = luks2_json_number(&key_bytes, keyslot, "key_size", err);
    if (result < 0)
        return result;
    if (key_bytes == 0 || key_bytes > 512)
        return error_set(err, -EPERM, "key size of %" PRIu64 " bytes, expected 1 to 512",
                         key_bytes);
    result = check_kdf(keyslot, err);
    if (result == 0)
        result = check_af(keyslot, err);
    if (result == 0)
        result = check_area(area, keyslot, key_bytes, bounds, err);
    return result;
}

static int check_keyslots(struct luks_areas *areas, struct json_object *keyslots,
                          const struct bounds *bounds, const struct luks_sizes *sizes,
                          struct error *err)
{
    unsigned slots[LUKS2_KEYSLOTS_MAX];

    areas->count = 0;
    json_object_object_foreach(keyslots, name, keyslot)
    {
        unsigned slot = 0;
        int result = luks2_json_index(&slot, name, LUKS2_KEYSLOTS_MAX, "keyslot", err);

        if (result < 0)
            return result;
        result = check_keyslot(&areas->items[areas->count], keyslot, bounds, err);
        if (result < 0) {
            error_prefix(err, "keyslot %u: ", slot);
            return result;
        }
        slots[areas->count++] = slot; /* names are unique, so at most 32 */
    }
    return luks_policy_areas(areas, slots, sizes, err);
}

/* ---- digests ---- */

static int check_digest(struct json_object *digest, struct error *err)
{
    const char *type = NULL, *hash = NULL;
    struct json_object *keyslots = NULL;
    uint64_t iterations = 0;
    int result = luks2_json_text(&type, digest, "type", err);

    if (result < 0)
        return result;
    if (strcmp(type, "pbkdf2") != 0)
        return error_set(err, -ENOTSUP, "type '%s' is not supported, only 'pbkdf2'",
                         luks_quote(type, strlen(type)).text);
    result = luks2_json_text(&hash, digest, "hash", err);
    if (result == 0)
        result = luks_policy_hash(hash, err);
    if (result == 0)
        result = luks2_json_number(&iterations, digest, "iterations", err);
    if (result == 0)
        result = luks_policy_pbkdf2(iterations, err);
    if (result == 0)
        result = check_base64(digest, "salt", SALT_BYTES_MIN, SALT_BYTES_MAX, err);
    if (result == 0)
        result = check_base64(digest, "digest", DIGEST_BYTES_MIN, DIGEST_BYTES_MAX, err);
    if (result == 0)
        result = luks2_json_array(&keyslots, digest, "keyslots", err);
    return result;
}

/* The one digest that verifies the key of segment 0. */
static int find_digest(struct json_object **out, struct json_object *root, struct error *err)
{
    struct json_object *digests = NULL;
    int result = luks2_json_object(&digests, root, "digests", err);

    if (result < 0)
        return result;
    *out = NULL;
    json_object_object_foreach(digests, name, digest)
    {
        struct json_object *segments = NULL;

        result = check_digest(digest, err);
        if (result == 0)
            result = luks2_json_array(&segments, digest, "segments", err);
        if (result < 0) {
            error_prefix(err, "digest %s: ", luks_quote(name, strlen(name)).text);
            return result;
        }
        if (!luks2_json_array_has(segments, "0"))
            continue;
        if (*out)
            return error_set(err, -EPERM, "segment 0 has more than one digest");
        *out = digest;
    }
    return *out != NULL
               ? 0
               : error_set(err, -EPERM, "segment 0 has no digest, so no key can be verified");
}

/* All keyslots of the digest hold the volume key: they must agree on its size. */
static int volume_key_bytes(uint64_t *out, struct json_object *digest, struct json_object *keyslots,
                            struct error *err)
{
    struct json_object *names = NULL;
    int result = luks2_json_array(&names, digest, "keyslots", err);

    if (result < 0)
        return result;
    *out = 0;
    json_object_object_foreach(keyslots, name, keyslot)
    {
        uint64_t key_bytes = 0;

        if (!luks2_json_array_has(names, name))
            continue;
        result = luks2_json_number(&key_bytes, keyslot, "key_size", err);
        if (result < 0) {
            error_prefix(err, "keyslot %s: ", luks_quote(name, strlen(name)).text);
            return result;
        }
        if (key_bytes > 512) /* before anybody multiplies it */
            return error_set(err, -EPERM,
                             "keyslot %s: key size of %" PRIu64 " bytes, expected 1 to 512",
                             luks_quote(name, strlen(name)).text, key_bytes);
        if (*out != 0 && *out != key_bytes)
            return error_set(err, -EPERM,
                             "keyslot %s: key size of %" PRIu64
                             " bytes, other keyslots of the volume key have %" PRIu64,
                             luks_quote(name, strlen(name)).text, key_bytes, *out);
        *out = key_bytes;
    }
    if (*out == 0)
        return error_set(err, -ENOKEY,
                         "no keyslot holds the volume key (erased?): no passphrase can open it");
    return 0;
}

static int check_segment_cipher(struct luks_segment *segment, struct json_object *object,
                                uint64_t key_bytes, struct error *err)
{
    const char *encryption = NULL;
    int result = luks2_json_text(&encryption, object, "encryption", err);

    if (result == 0)
        result = luks_policy_cipher(&segment->cipher, encryption, (unsigned)key_bytes * 8, err);
    if (result < 0)
        error_prefix(err, "segment 0: ");
    return result;
}

int luks2_policy_check(struct luks_segment *segment, struct luks_areas *areas,
                       struct json_object *root, uint64_t copy_bytes,
                       const struct luks_sizes *sizes, struct error *err)
{
    struct json_object *object = NULL, *keyslots = NULL, *digest = NULL;
    struct bounds bounds = { 0 };
    uint64_t key_bytes = 0;
    int result;

    *segment = (struct luks_segment){ .type = LUKS_TYPE_2 };
    result = check_config(segment, &bounds, root, copy_bytes, err);
    if (result == 0)
        result = find_segment(&object, root, err);
    if (result == 0)
        result = check_segment_features(object, err);
    if (result == 0)
        result = luks2_json_object(&keyslots, root, "keyslots", err);
    if (result == 0)
        result = find_digest(&digest, root, err);
    if (result == 0)
        result = volume_key_bytes(&key_bytes, digest, keyslots, err);
    if (result == 0)
        result = check_segment_cipher(segment, object, key_bytes, err);
    if (result == 0)
        result = check_segment(segment, object, &bounds, sizes, err);
    if (result == 0)
        result = check_keyslots(areas, keyslots, &bounds, sizes, err);
    return result;
}
