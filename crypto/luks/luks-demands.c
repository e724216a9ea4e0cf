/* What the user demands of a volume: see luks-demands.h. */
#include "crypto/luks/luks-demands.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <gnutls/crypto.h>

#include "crypto/luks/luks-header.h"
#include "crypto/luks/luks-policy.h"
#include "crypto/luks/luks2-json.h"

#define DIGEST_PREFIX_1 "sha256:"
#define DIGEST_PREFIX_2 "v2:sha256:"
#define SHA256_BYTES 32u
#define UUID_CHARACTERS 36u

/* LUKS1 on-disk format 1.2.3, 2.1. */
#define LUKS1_AT_DIGEST 112
#define LUKS1_DIGEST_BYTES 20u
#define LUKS1_AT_SALT 132
#define LUKS1_SALT_BYTES 32u

/* Of the volume key, as the digest of the header has it. */
struct key_digest {
    char hash[65];
    uint64_t iterations;
    char salt[256];   /* base64 */
    char digest[256]; /* base64 */
};

/* ---- what the header says of its volume key ---- */

static int put_text(char *out, size_t out_bytes, const char *text, const char *what,
                    struct error *err)
{
    size_t length = strlen(text);

    if (length >= out_bytes)
        return error_set(err, -ENOTSUP, "the %s of the volume key's digest has %zu characters",
                         what, length);
    memcpy(out, text, length + 1);
    return 0;
}

static int put_base64(char *out, size_t out_bytes, const uint8_t *bytes, unsigned length_bytes,
                      struct error *err)
{
    gnutls_datum_t raw = { (uint8_t *)(uintptr_t)bytes, length_bytes }, encoded = { NULL, 0 };

    if (gnutls_base64_encode2(&raw, &encoded) < 0)
        return error_no_memory(err, "for the digest of a header");
    (void)snprintf(out, out_bytes, "%.*s", (int)encoded.size, (const char *)encoded.data);
    gnutls_free(encoded.data);
    return 0;
}

static int luks1_key_digest(struct key_digest *out, const struct luks_header *header,
                            struct error *err)
{
    uint8_t bytes[LUKS1_HEADER_BYTES];
    int result;

    if (pread(header->image_fd, bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return error_set(err, -EIO, "the copy of the header in memory can't be read");
    out->iterations = header->luks1.digest_iterations;
    result = put_text(out->hash, sizeof out->hash, header->luks1.hash, "hash", err);
    if (result == 0)
        result =
            put_base64(out->salt, sizeof out->salt, bytes + LUKS1_AT_SALT, LUKS1_SALT_BYTES, err);
    if (result == 0)
        result = put_base64(out->digest, sizeof out->digest, bytes + LUKS1_AT_DIGEST,
                            LUKS1_DIGEST_BYTES, err);
    return result;
}

/* The policy has seen to it that there is exactly one for segment 0. */
static struct json_object *find_digest(struct json_object *digests)
{
    json_object_object_foreach(digests, name, digest)
    {
        struct json_object *segments = NULL;

        (void)name;
        if (luks2_json_array(&segments, digest, "segments", NULL) == 0 &&
            luks2_json_array_has(segments, "0"))
            return digest;
    }
    return NULL;
}

static int luks2_key_digest(struct key_digest *out, const struct luks_header *header,
                            struct error *err)
{
    struct json_object *digests = NULL, *found;
    const char *hash, *salt, *digest;
    int result = luks2_json_object(&digests, header->json, "digests", err);

    if (result < 0)
        return result;
    found = find_digest(digests);
    if (found == NULL)
        return error_set(err, -EPERM, "segment 0 has no digest, so no key can be verified");
    result = luks2_json_text(&hash, found, "hash", err);
    if (result == 0)
        result = luks2_json_text(&salt, found, "salt", err);
    if (result == 0)
        result = luks2_json_text(&digest, found, "digest", err);
    if (result == 0)
        result = luks2_json_number(&out->iterations, found, "iterations", err);
    if (result == 0)
        result = put_text(out->hash, sizeof out->hash, hash, "hash", err);
    if (result == 0)
        result = put_text(out->salt, sizeof out->salt, salt, "salt", err);
    if (result == 0)
        result = put_text(out->digest, sizeof out->digest, digest, "value", err);
    return result;
}

static int key_digest(struct key_digest *out, const struct luks_header *header, struct error *err)
{
    return header->segment.type == LUKS_TYPE_2 ? luks2_key_digest(out, header, err)
                                               : luks1_key_digest(out, header, err);
}

/* "dynamic", or a number of bytes. */
static const char *payload_size(const struct luks_header *header)
{
    struct json_object *segments = NULL, *segment = NULL;
    const char *size = NULL;

    if (header->segment.type == LUKS_TYPE_1 ||
        luks2_json_object(&segments, header->json, "segments", NULL) < 0 ||
        luks2_json_object(&segment, segments, "0", NULL) < 0 ||
        luks2_json_text(&size, segment, "size", NULL) < 0)
        return "dynamic";
    return size;
}

static int put_lines(gnutls_hash_hd_t hash, const struct luks_header *header,
                     enum luks_digest_form form, struct error *err)
{
    bool luks2 = header->segment.type == LUKS_TYPE_2;
    const struct luks_segment *segment = &header->segment;
    struct key_digest key = { 0 };
    char lines[1024];
    int result = key_digest(&key, header, err);
    int length;

    if (result < 0)
        return result;
    length = snprintf(lines, sizeof lines,
                      "nbdcrypt header digest %d\ntype luks%d\ncipher %s\nkey-bits %u\n"
                      "sector-size %" PRIu32 "\npayload-offset %" PRIu64 "\npayload-size %.20s\n"
                      "iv-offset %" PRIu64 "\nkey-digest pbkdf2 %s %" PRIu64 " %s %s\n",
                      (int)form, luks2 ? 2 : 1, segment->cipher.name, segment->cipher.key_bits,
                      segment->sector_bytes, segment->payload_offset_bytes, payload_size(header),
                      segment->iv_offset_sectors, key.hash, key.iterations, key.salt, key.digest);
    if (length < 0 || (size_t)length >= sizeof lines ||
        gnutls_hash(hash, lines, (size_t)length) < 0)
        return error_set(err, -EIO, "the digest of the header can't be calculated");
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The policy has seen to it that they are few, and names. */
static int put_flags(gnutls_hash_hd_t hash, const struct luks_header *header, struct error *err)
{
    struct json_object *config = NULL, *flags = NULL;
    const char *names[LUKS2_FLAGS_MAX];
    char line[LUKS2_FLAG_BYTES_MAX + sizeof "flag \n"];
    size_t count;

    if (header->segment.type == LUKS_TYPE_1 ||
        luks2_json_object(&config, header->json, "config", NULL) < 0 ||
        luks2_json_array(&flags, config, "flags", NULL) < 0)
        return 0;
    count = json_object_array_length(flags);
    for (size_t i = 0; i < count; i++)
        names[i] = json_object_get_string(json_object_array_get_idx(flags, i));
    qsort(names, count, sizeof names[0], compare_names);
    for (size_t i = 0; i < count; i++) {
        int length = snprintf(line, sizeof line, "flag %s\n", names[i]);

        if (length < 0 || gnutls_hash(hash, line, (size_t)length) < 0)
            return error_set(err, -EIO, "the digest of the header can't be calculated");
    }
    return 0;
}

int luks_header_digest(struct luks_header_digest *out, const struct luks_header *header,
                       enum luks_digest_form form, struct error *err)
{
    const char *prefix = form == LUKS_DIGEST ? DIGEST_PREFIX_2 : DIGEST_PREFIX_1;
    uint8_t bytes[SHA256_BYTES];
    gnutls_hash_hd_t hash;
    char *at = out->text + strlen(prefix);
    int result;

    if (gnutls_hash_init(&hash, GNUTLS_DIG_SHA256) < 0)
        return error_set(err, -EIO, "the digest of the header can't be calculated");
    result = put_lines(hash, header, form, err);
    if (result == 0 && form == LUKS_DIGEST)
        result = put_flags(hash, header, err);
    gnutls_hash_deinit(hash, bytes);
    memcpy(out->text, prefix, strlen(prefix));
    for (size_t i = 0; i < sizeof bytes; i++)
        (void)snprintf(at + 2 * i, 3, "%02x", bytes[i]);
    return result;
}

/* ---- the form of demands ---- */

static enum luks_digest_form digest_form(const char *digest)
{
    bool is_first = strncmp(digest, DIGEST_PREFIX_1, strlen(DIGEST_PREFIX_1)) == 0;

    return is_first ? LUKS_DIGEST_WITHOUT_FLAGS : LUKS_DIGEST;
}

int luks_demands_check_digest(const char *digest, struct error *err)
{
    const char *prefix = digest_form(digest) == LUKS_DIGEST ? DIGEST_PREFIX_2 : DIGEST_PREFIX_1;
    size_t prefix_bytes = strlen(prefix);

    if (strncmp(digest, prefix, prefix_bytes) == 0 &&
        strlen(digest) == prefix_bytes + 2 * SHA256_BYTES &&
        strspn(digest + prefix_bytes, "0123456789abcdefABCDEF") == 2 * SHA256_BYTES)
        return 0;
    return error_set(err, -EINVAL,
                     "'%.100s' is not the digest of a header: write " DIGEST_PREFIX_2
                     " and 64 hexadecimal digits, as nbdcrypt info prints them",
                     digest);
}

bool luks_demands_leave_flags(const struct luks_demands *demands, const struct luks_header *header)
{
    return demands->digest != NULL && header->segment.type == LUKS_TYPE_2 &&
           digest_form(demands->digest) == LUKS_DIGEST_WITHOUT_FLAGS;
}

int luks_demands_check_uuid(const char *uuid, struct error *err)
{
    bool good = strlen(uuid) == UUID_CHARACTERS;

    for (size_t i = 0; good && i < UUID_CHARACTERS; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;

        good = dash ? uuid[i] == '-' : isxdigit((unsigned char)uuid[i]) != 0;
    }
    if (good)
        return 0;
    return error_set(err, -EINVAL,
                     "'%.100s' is not a UUID: write it as "
                     "123e4567-e89b-12d3-a456-426614174000",
                     uuid);
}

/* ---- whether they are met ---- */

static int check_cipher(const struct luks_demands *demands, const struct luks_segment *segment,
                        struct error *err)
{
    for (size_t i = 0; i < demands->cipher_count; i++)
        if (strcmp(demands->ciphers[i], segment->cipher.name) == 0)
            return 0;
    if (demands->cipher_count == 0)
        return 0;
    return error_set(err, -EPERM, "its cipher is %s, and %s%s is demanded", segment->cipher.name,
                     demands->ciphers[0], demands->cipher_count > 1 ? " (or another one)" : "");
}

static int check_segment(const struct luks_demands *demands, const struct luks_segment *segment,
                         struct error *err)
{
    if (demands->uuid != NULL && strcasecmp(demands->uuid, segment->uuid) != 0)
        return error_set(err, -EPERM, "its UUID is %s, and %s is demanded: this is another volume",
                         *segment->uuid ? segment->uuid : "empty", demands->uuid);
    if (segment->cipher.key_bits < demands->key_bits_min)
        return error_set(err, -EPERM, "its volume key has %u bits, and at least %u are demanded",
                         segment->cipher.key_bits, demands->key_bits_min);
    return check_cipher(demands, segment, err);
}

static int check_digest(const struct luks_demands *demands, const struct luks_header *header,
                        struct error *err)
{
    struct luks_header_digest digest;
    enum luks_digest_form form;
    int result;

    if (demands->digest == NULL)
        return 0;
    form = digest_form(demands->digest);
    result = luks_header_digest(&digest, header, form, err);
    if (result < 0 || strcasecmp(digest.text, demands->digest) == 0)
        return result;
    return error_set(err, -EPERM,
                     "its digest is %s, and another one is demanded: the header has another volume "
                     "key%s another layout%s than it had",
                     digest.text, form == LUKS_DIGEST ? "," : " or",
                     form == LUKS_DIGEST ? " or other flags" : "");
}

/* Which is always made by PBKDF2, and calculated for each keyslot that is tried. */
static int check_digest_cost(const struct luks_demands *demands, const struct luks_header *header,
                             struct error *err)
{
    struct key_digest key = { 0 };
    int result;

    if (demands->iterations_max == 0)
        return 0;
    result = key_digest(&key, header, err);
    if (result < 0 || key.iterations <= demands->iterations_max)
        return result;
    return error_set(err, -EPERM,
                     "digest of the volume key: %" PRIu64 " iterations, and at most %u are allowed",
                     key.iterations, demands->iterations_max);
}

static int check_cost(const struct luks_demands *demands, unsigned slot, uint64_t iterations,
                      uint64_t memory_kib, struct error *err)
{
    if (demands->iterations_max != 0 && iterations > demands->iterations_max)
        return error_set(err, -EPERM,
                         "keyslot %u: %" PRIu64 " iterations, and at most %u are allowed", slot,
                         iterations, demands->iterations_max);
    if (demands->memory_kib_max != 0 && memory_kib > demands->memory_kib_max)
        return error_set(err, -EPERM,
                         "keyslot %u: %" PRIu64 " KiB of Argon2 memory, and at most %u are allowed",
                         slot, memory_kib, demands->memory_kib_max);
    return 0;
}

static int check_luks1_costs(const struct luks_demands *demands, const struct luks_header *header,
                             struct error *err)
{
    int result = 0;

    for (unsigned slot = 0; slot < LUKS1_KEYSLOTS && result == 0; slot++)
        if (header->luks1.keyslots[slot].active)
            result = check_cost(demands, slot, header->luks1.keyslots[slot].iterations, 0, err);
    return result;
}

static int check_luks2_cost(const struct luks_demands *demands, unsigned slot,
                            struct json_object *keyslot, struct error *err)
{
    uint64_t iterations = 0, memory_kib = 0;
    struct json_object *kdf = NULL;
    const char *type = NULL;
    int result = luks2_json_object(&kdf, keyslot, "kdf", err);

    if (result == 0)
        result = luks2_json_text(&type, kdf, "type", err);
    if (result != 0)
        return result;
    if (strcmp(type, "pbkdf2") == 0) {
        result = luks2_json_number(&iterations, kdf, "iterations", err);
    } else {
        result = luks2_json_number(&iterations, kdf, "time", err);
        if (result == 0)
            result = luks2_json_number(&memory_kib, kdf, "memory", err);
    }
    return result < 0 ? result : check_cost(demands, slot, iterations, memory_kib, err);
}

static int check_luks2_costs(const struct luks_demands *demands, const struct luks_header *header,
                             struct error *err)
{
    struct json_object *keyslots = NULL;
    int result = luks2_json_object(&keyslots, header->json, "keyslots", err);

    if (result < 0)
        return result;
    json_object_object_foreach(keyslots, name, keyslot)
    {
        unsigned slot = 0;

        result = luks2_json_index(&slot, name, LUKS2_KEYSLOTS_MAX, "keyslot", err);
        if (result == 0)
            result = check_luks2_cost(demands, slot, keyslot, err);
        if (result < 0)
            return result;
    }
    return 0;
}

int luks_demands_check(const struct luks_demands *demands, const struct luks_header *header,
                       struct error *err)
{
    int result = check_segment(demands, &header->segment, err);

    if (result == 0)
        result = check_digest(demands, header, err);
    if (result == 0 && header->segment.type == LUKS_TYPE_1)
        result = check_luks1_costs(demands, header, err);
    else if (result == 0)
        result = check_luks2_costs(demands, header, err);
    if (result == 0)
        result = check_digest_cost(demands, header, err);
    if (result < 0)
        error_prefix(err, "LUKS header: ");
    return result;
}
