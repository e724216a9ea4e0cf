/* The binary part of LUKS2 headers: see luks2-binary.h. */
#include "crypto/luks/luks2-binary.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <gnutls/crypto.h>

/* Offsets of the fields; all numbers are big-endian. */
enum {
    MAGIC_BYTES = 6,
    AT_VERSION = 6,
    AT_COPY_BYTES = 8,
    AT_SEQUENCE = 16,
    AT_CHECKSUM_NAME = 72,
    CHECKSUM_NAME_BYTES = 32,
    AT_LABEL = 24,
    LABEL_BYTES = 48, /* of the subsystem too */
    AT_UUID = 168,
    UUID_BYTES = 40,
    AT_SUBSYSTEM = 208,
    AT_COPY_OFFSET = 256,
    AT_CHECKSUM = 448,
    CHECKSUM_BYTES = 64,
};

static const uint8_t primary_magic[MAGIC_BYTES] = { 'L', 'U', 'K', 'S', 0xba, 0xbe };
static const uint8_t secondary_magic[MAGIC_BYTES] = { 'S', 'K', 'U', 'L', 0xba, 0xbe };

static uint64_t load_be64(const uint8_t *bytes)
{
    uint64_t number = 0;

    for (unsigned i = 0; i < 8; i++)
        number = number << 8 | bytes[i];
    return number;
}

static bool version_is_2(const uint8_t *bytes)
{
    return bytes[AT_VERSION] == 0 && bytes[AT_VERSION + 1] == 2;
}

static bool copy_size_is_valid(uint64_t bytes)
{
    return bytes >= LUKS2_COPY_BYTES_MIN && bytes <= LUKS2_COPY_BYTES_MAX &&
           (bytes & (bytes - 1)) == 0;
}

/* The header begins with this magic; what follows must be looked at. */
static bool has_magic(const uint8_t *bytes, size_t length_bytes)
{
    return length_bytes >= AT_VERSION + 2 && memcmp(bytes, primary_magic, MAGIC_BYTES) == 0 &&
           version_is_2(bytes);
}

static bool secondary_has_magic(const uint8_t *bytes)
{
    return memcmp(bytes, secondary_magic, MAGIC_BYTES) == 0 && version_is_2(bytes);
}

/* 0 when the name is unknown. */
static gnutls_digest_algorithm_t checksum_algorithm(const uint8_t *field)
{
    static const struct {
        const char *name;
        gnutls_digest_algorithm_t algorithm;
    } known[] = {
        { "sha256", GNUTLS_DIG_SHA256 },
        { "sha384", GNUTLS_DIG_SHA384 },
        { "sha512", GNUTLS_DIG_SHA512 },
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strncmp((const char *)field, known[i].name, CHECKSUM_NAME_BYTES) == 0)
            return known[i].algorithm;
    return GNUTLS_DIG_UNKNOWN;
}

/* Over the whole copy, with the checksum itself taken as zeros; *used: its length. */
static int compute_checksum(uint8_t out[CHECKSUM_BYTES], size_t *used, uint8_t *bytes,
                            uint64_t length_bytes, struct error *err)
{
    gnutls_digest_algorithm_t algorithm = checksum_algorithm(bytes + AT_CHECKSUM_NAME);
    uint8_t stored[CHECKSUM_BYTES];
    int result;

    if (algorithm == GNUTLS_DIG_UNKNOWN)
        return error_set(err, -EINVAL, "its checksum is of an unknown kind");
    memcpy(stored, bytes + AT_CHECKSUM, CHECKSUM_BYTES);
    memset(bytes + AT_CHECKSUM, 0, CHECKSUM_BYTES);
    result = gnutls_hash_fast(algorithm, bytes, (size_t)length_bytes, out);
    memcpy(bytes + AT_CHECKSUM, stored, CHECKSUM_BYTES);
    if (result < 0)
        return error_set(err, -EIO, "its checksum can't be computed: %s", gnutls_strerror(result));
    *used = gnutls_hash_get_len(algorithm);
    return 0;
}

static int check_checksum(uint8_t *bytes, uint64_t length_bytes, struct error *err)
{
    uint8_t computed[CHECKSUM_BYTES];
    size_t used = 0;
    int result = compute_checksum(computed, &used, bytes, length_bytes, err);

    if (result == 0 && memcmp(bytes + AT_CHECKSUM, computed, used) != 0)
        result = error_set(err, -EINVAL, "its checksum is wrong");
    return result;
}

int luks2_copy_seal(uint8_t *bytes, uint64_t length_bytes, struct error *err)
{
    uint8_t computed[CHECKSUM_BYTES];
    size_t used = 0;
    int result = compute_checksum(computed, &used, bytes, length_bytes, err);

    if (result == 0)
        memcpy(bytes + AT_CHECKSUM, computed, used);
    return result;
}

/* `copy->length_bytes` is known to be valid. */
static int check_copy(struct luks2_copy *copy, struct error *err)
{
    const uint8_t *magic = copy->offset_bytes == 0 ? primary_magic : secondary_magic;

    if (memcmp(copy->bytes, magic, MAGIC_BYTES) != 0 || !version_is_2(copy->bytes))
        return error_set(err, -EINVAL, "it does not begin with a LUKS2 mark");
    if (load_be64(copy->bytes + AT_COPY_BYTES) != copy->length_bytes)
        return error_set(err, -EINVAL, "its size field is wrong");
    if (load_be64(copy->bytes + AT_COPY_OFFSET) != copy->offset_bytes)
        return error_set(err, -EINVAL, "its offset field is wrong");
    if (!memchr(copy->bytes + AT_UUID, '\0', UUID_BYTES))
        return error_set(err, -EINVAL, "its UUID has no end");
    if (!memchr(copy->bytes + AT_LABEL, '\0', LABEL_BYTES) ||
        !memchr(copy->bytes + AT_SUBSYSTEM, '\0', LABEL_BYTES))
        return error_set(err, -EINVAL, "its label or subsystem has no end");
    return check_checksum(copy->bytes, copy->length_bytes, err);
}

/* 0 also when the copy is damaged; negative when it can't be read at all. */
static int read_copy(struct luks2_copy *copy, uint64_t offset_bytes, uint64_t length_bytes,
                     luks_read_fn *read, void *context, uint64_t header_bytes, struct error *err)
{
    int result;

    copy->offset_bytes = offset_bytes;
    copy->length_bytes = length_bytes;
    if (header_bytes < length_bytes || offset_bytes > header_bytes - length_bytes) {
        (void)error_set(&copy->damage, 0,
                        "it ends at byte %" PRIu64 ", but there are only %" PRIu64
                        " bytes: truncated",
                        offset_bytes + length_bytes, header_bytes);
        return 0;
    }
    copy->bytes = malloc((size_t)length_bytes);
    if (copy->bytes == NULL)
        return error_set(err, -ENOMEM, "not enough memory for a header of %" PRIu64 " bytes",
                         length_bytes);
    result = read(context, offset_bytes, copy->bytes, (size_t)length_bytes, err);
    if (result == 0 && check_copy(copy, &copy->damage) == 0) {
        copy->sequence = load_be64(copy->bytes + AT_SEQUENCE);
        return 0;
    }
    free(copy->bytes);
    copy->bytes = NULL;
    return result;
}

/* The size field itself may be what is damaged, so it is checked before it is used. */
static int read_primary(struct luks2_copies *copies, uint8_t *head, luks_read_fn *read,
                        void *context, uint64_t header_bytes, struct error *err)
{
    uint64_t length_bytes = load_be64(head + AT_COPY_BYTES);

    if (!has_magic(head, LUKS2_BINARY_BYTES)) {
        (void)error_set(&copies->primary.damage, 0, "it does not begin with a LUKS2 mark");
        return 0;
    }
    if (!copy_size_is_valid(length_bytes)) {
        (void)error_set(&copies->primary.damage, 0, "its size field is wrong");
        return 0;
    }
    return read_copy(&copies->primary, 0, length_bytes, read, context, header_bytes, err);
}

/* At the place the primary gives, or at every place there may be one. */
static int read_secondary(struct luks2_copies *copies, luks_read_fn *read, void *context,
                          uint64_t header_bytes, struct error *err)
{
    struct luks2_copy *copy = &copies->secondary;
    uint8_t mark[AT_VERSION + 2];

    if (copies->primary.bytes) {
        uint64_t length_bytes = copies->primary.length_bytes;

        return read_copy(copy, length_bytes, length_bytes, read, context, header_bytes, err);
    }
    (void)error_set(&copy->damage, 0, "none was found");
    for (uint64_t at = LUKS2_COPY_BYTES_MIN; at <= LUKS2_COPY_BYTES_MAX; at *= 2) {
        int result;

        if (at + sizeof mark > header_bytes)
            return 0;
        result = read(context, at, mark, sizeof mark, err);
        if (result == 0 && secondary_has_magic(mark))
            result = read_copy(copy, at, at, read, context, header_bytes, err);
        if (result < 0 || copy->bytes != NULL)
            return result;
    }
    return 0;
}

static void check_text(struct luks2_copy *copy, luks2_check_fn *check)
{
    struct error damage = { "" };

    if (copy->bytes == NULL || check == NULL || check(copy, &damage) != -EINVAL)
        return;
    copy->damage = damage;
    copy->text_is_bad = true;
    free(copy->bytes);
    copy->bytes = NULL;
}

static int choose(struct luks2_copies *copies, bool was_luks2, struct error *err)
{
    const struct luks2_copy *primary = &copies->primary, *secondary = &copies->secondary;

    if (primary->bytes != NULL &&
        (secondary->bytes == NULL || primary->sequence >= secondary->sequence))
        copies->chosen = primary;
    else if (secondary->bytes)
        copies->chosen = secondary;
    else if (!was_luks2 && secondary->length_bytes == 0)
        return error_set(err, -EMEDIUMTYPE, "no LUKS header found");
    else if (primary->text_is_bad && secondary->text_is_bad)
        return error_set(err, -EINVAL, "%s", primary->damage.text);
    else
        return error_set(err, -EINVAL,
                         "both copies of the LUKS2 header are damaged (first: %s; second: %s): "
                         "restore it from a backup",
                         primary->damage.text, secondary->damage.text);
    return 0;
}

int luks2_copies_read(struct luks2_copies *out, luks_read_fn *read, void *context,
                      uint64_t header_bytes, luks2_check_fn *check, struct error *err)
{
    uint8_t head[LUKS2_BINARY_BYTES] = { 0 };
    size_t head_bytes = header_bytes < sizeof head ? (size_t)header_bytes : sizeof head;
    int result;

    *out = (struct luks2_copies){ 0 };
    result = read(context, 0, head, head_bytes, err);
    if (result == 0)
        result = read_primary(out, head, read, context, header_bytes, err);
    if (result == 0)
        result = read_secondary(out, read, context, header_bytes, err);
    if (result == 0) {
        check_text(&out->primary, check);
        check_text(&out->secondary, check);
    }
    if (result == 0)
        result = choose(out, has_magic(head, head_bytes), err);
    if (result < 0)
        luks2_copies_free(out);
    return result;
}

void luks2_copies_free(struct luks2_copies *copies)
{
    free(copies->primary.bytes);
    free(copies->secondary.bytes);
    *copies = (struct luks2_copies){ 0 };
}

bool luks2_copies_differ(const struct luks2_copies *copies)
{
    const struct luks2_copy *primary = &copies->primary, *secondary = &copies->secondary;

    if (primary->bytes == NULL || secondary->bytes == NULL)
        return false;
    return primary->sequence != secondary->sequence ||
           memcmp(primary->bytes + LUKS2_BINARY_BYTES, secondary->bytes + LUKS2_BINARY_BYTES,
                  (size_t)primary->length_bytes - LUKS2_BINARY_BYTES) != 0;
}

void luks2_copy_uuid(char *out, const struct luks2_copy *copy)
{
    memcpy(out, copy->bytes + AT_UUID, UUID_BYTES); /* its end has been seen */
}
