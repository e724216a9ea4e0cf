/* LUKS1 headers: see luks1-policy.h. */
#include "crypto/luks/luks1-policy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "crypto/luks/luks-quote.h"

#define SECTOR_BYTES 512u
#define SLOT_IN_USE 0x00ac71f3u
#define SLOT_FREE 0x0000deadu

/* Offsets of the fields; all numbers are big-endian. */
enum {
    AT_CIPHER = 8,
    AT_MODE = 40,
    AT_HASH = 72,
    AT_PAYLOAD_OFFSET = 104,
    AT_KEY_BYTES = 108,
    AT_DIGEST_ITERATIONS = 164,
    AT_UUID = 168,
    KEYSLOT_AT_ACTIVE = 0,
    KEYSLOT_AT_ITERATIONS = 4,
    KEYSLOT_AT_OFFSET = 40,
    KEYSLOT_AT_STRIPES = 44,
};

static uint32_t load_be32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
           (uint32_t)bytes[3];
}

/* `out` has room for one byte more than the field. */
static int load_text(char *out, const uint8_t *field, size_t field_bytes, const char *name,
                     struct error *err)
{
    if (!memchr(field, '\0', field_bytes))
        return error_set(err, -EINVAL, "the field '%s' has no end", name);
    memcpy(out, field, field_bytes);
    out[field_bytes] = '\0';
    return 0;
}

static int parse_keyslot(struct luks1_keyslot *out, const uint8_t *bytes, unsigned slot,
                         struct error *err)
{
    uint32_t active = load_be32(bytes + KEYSLOT_AT_ACTIVE);

    if (active != SLOT_IN_USE && active != SLOT_FREE)
        return error_set(err, -EINVAL,
                         "keyslot %u: its state 0x%08" PRIx32 " is neither in use nor free", slot,
                         active);
    out->active = active == SLOT_IN_USE;
    out->iterations = load_be32(bytes + KEYSLOT_AT_ITERATIONS);
    out->offset_sectors = load_be32(bytes + KEYSLOT_AT_OFFSET);
    out->stripes = load_be32(bytes + KEYSLOT_AT_STRIPES);
    return 0;
}

int luks1_policy_parse(struct luks1_header *out, const uint8_t bytes[LUKS1_HEADER_BYTES],
                       struct error *err)
{
    int result = load_text(out->cipher, bytes + AT_CIPHER, 32, "cipher-name", err);

    if (result == 0)
        result = load_text(out->mode, bytes + AT_MODE, 32, "cipher-mode", err);
    if (result == 0)
        result = load_text(out->hash, bytes + AT_HASH, 32, "hash-spec", err);
    if (result == 0)
        result = load_text(out->uuid, bytes + AT_UUID, 40, "uuid", err);
    out->payload_offset_sectors = load_be32(bytes + AT_PAYLOAD_OFFSET);
    out->key_bytes = load_be32(bytes + AT_KEY_BYTES);
    out->digest_iterations = load_be32(bytes + AT_DIGEST_ITERATIONS);
    for (unsigned slot = 0; result == 0 && slot < LUKS1_KEYSLOTS; slot++)
        result = parse_keyslot(&out->keyslots[slot],
                               bytes + LUKS1_KEYSLOTS_AT + slot * (size_t)LUKS1_KEYSLOT_BYTES, slot,
                               err);
    return result;
}

static int check_cipher(struct cipher_spec *out, const struct luks1_header *header,
                        struct error *err)
{
    char name[sizeof header->cipher + sizeof header->mode];

    /* The bound comes first: 8 times an arbitrary number would wrap. */
    if (header->key_bytes > 512)
        return error_set(err, -ENOTSUP, "a volume key of %" PRIu32 " bytes is not supported",
                         header->key_bytes);
    (void)snprintf(name, sizeof name, "%s-%s", header->cipher, header->mode);
    return luks_policy_cipher(out, name, header->key_bytes * 8, err);
}

static struct luks_area keyslot_area(const struct luks1_header *header, unsigned slot)
{
    uint64_t bytes = (uint64_t)header->key_bytes * LUKS_AF_STRIPES;

    return (struct luks_area){
        .offset_bytes = (uint64_t)header->keyslots[slot].offset_sectors * SECTOR_BYTES,
        .length_bytes = (bytes + SECTOR_BYTES - 1) / SECTOR_BYTES * SECTOR_BYTES,
    };
}

/* Free slots too must have a place: what is put there later would destroy the header or data. */
static int check_keyslot(const struct luks1_header *header, unsigned slot,
                         const struct luks_sizes *sizes, struct error *err)
{
    const struct luks1_keyslot *keyslot = &header->keyslots[slot];
    struct luks_area area = keyslot_area(header, slot);
    uint64_t payload_bytes = (uint64_t)header->payload_offset_sectors * SECTOR_BYTES;

    if (keyslot->stripes != LUKS_AF_STRIPES)
        return error_set(err, -EPERM, "keyslot %u: %" PRIu32 " stripes, expected %u", slot,
                         keyslot->stripes, LUKS_AF_STRIPES);
    if (area.offset_bytes < LUKS1_HEADER_BYTES)
        return error_set(err, -EPERM,
                         "keyslot %u: its area begins at byte %" PRIu64 ", inside the header", slot,
                         area.offset_bytes);
    if (!sizes->detached && area.offset_bytes + area.length_bytes > payload_bytes)
        return error_set(err, -EPERM,
                         "keyslot %u: its area ends at byte %" PRIu64
                         ", inside the payload, which begins at %" PRIu64,
                         slot, area.offset_bytes + area.length_bytes, payload_bytes);
    if (keyslot->active && luks_policy_pbkdf2(keyslot->iterations, err) < 0) {
        error_prefix(err, "keyslot %u: ", slot);
        return -EPERM;
    }
    return 0;
}

static int check_keyslots(struct luks_areas *in_use, const struct luks1_header *header,
                          const struct luks_sizes *sizes, struct error *err)
{
    struct luks_areas all = { .count = LUKS1_KEYSLOTS };
    unsigned slots[LUKS1_KEYSLOTS];

    in_use->count = 0;
    for (unsigned slot = 0; slot < LUKS1_KEYSLOTS; slot++) {
        int result = check_keyslot(header, slot, sizes, err);

        if (result < 0)
            return result;
        slots[slot] = slot;
        all.items[slot] = keyslot_area(header, slot);
        if (header->keyslots[slot].active)
            in_use->items[in_use->count++] = all.items[slot];
    }
    return luks_policy_areas(&all, slots, sizes, err);
}

static int check_numbers(const struct luks1_header *header, struct error *err)
{
    int result = luks_policy_hash(header->hash, err);

    if (result == 0)
        result = luks_policy_pbkdf2(header->digest_iterations, err);
    if (result < 0)
        error_prefix(err, "volume key digest: ");
    return result;
}

int luks1_policy_check(struct luks_segment *segment, struct luks_areas *areas,
                       const struct luks1_header *header, const struct luks_sizes *sizes,
                       struct error *err)
{
    int result;

    *segment = (struct luks_segment){
        .type = LUKS_TYPE_1,
        .sector_bytes = SECTOR_BYTES,
        .payload_offset_bytes = (uint64_t)header->payload_offset_sectors * SECTOR_BYTES,
    };
    (void)snprintf(segment->uuid, sizeof segment->uuid, "%.39s",
                   luks_quote(header->uuid, sizeof header->uuid).text);
    result = check_cipher(&segment->cipher, header, err);
    if (result == 0)
        result = check_numbers(header, err);
    if (result == 0)
        result = luks_policy_payload(segment, 0, sizes, err);
    if (result == 0)
        result = check_keyslots(areas, header, sizes, err);
    return result;
}
