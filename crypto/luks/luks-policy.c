/* What both formats have in common: see luks-policy.h. */
#include "crypto/luks/luks-policy.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "crypto/luks/luks-hash.h"
#include "crypto/luks/luks-quote.h"

int luks_policy_cipher(struct cipher_spec *out, const char *name, unsigned key_bits,
                       struct error *err)
{
    struct luks_quoted quoted = luks_quote(name, strlen(name));

    if (cipher_spec_parse(out, quoted.text, key_bits, err) == 0)
        return 0;
    /* "cipher_null-ecb", "capi:ecb(cipher_null)-plain": dm-crypt has several ways to say it. */
    return strstr(name, "null") ? -EPERM : -ENOTSUP;
}

int luks_policy_hash(const char *name, struct error *err)
{
    int number;

    return luks_hash_number(&number, name, err);
}

int luks_policy_pbkdf2(uint64_t iterations, struct error *err)
{
    if (iterations == 0)
        return error_set(err, -EPERM, "0 PBKDF2 iterations");
    if (iterations > LUKS_PBKDF2_ITERATIONS_MAX)
        return error_set(err, -EPERM, "%" PRIu64 " PBKDF2 iterations, at most %u are accepted",
                         iterations, LUKS_PBKDF2_ITERATIONS_MAX);
    return 0;
}

int luks_policy_argon2(uint64_t passes, uint64_t memory_kib, uint64_t lanes, struct error *err)
{
    if (passes == 0 || memory_kib == 0 || lanes == 0)
        return error_set(err, -EPERM,
                         "Argon2 with time %" PRIu64 ", memory %" PRIu64 " KiB, %" PRIu64
                         " lanes: none of them may be 0",
                         passes, memory_kib, lanes);
    if (memory_kib > LUKS_ARGON2_MEMORY_KIB_MAX)
        return error_set(err, -EPERM, "Argon2 memory of %" PRIu64 " KiB, at most %u are accepted",
                         memory_kib, LUKS_ARGON2_MEMORY_KIB_MAX);
    if (lanes > LUKS_ARGON2_LANES_MAX)
        return error_set(err, -EPERM, "Argon2 with %" PRIu64 " lanes, at most %u are accepted",
                         lanes, LUKS_ARGON2_LANES_MAX);
    if (passes > LUKS_ARGON2_COST_KIB_MAX / memory_kib)
        return error_set(err, -EPERM,
                         "Argon2 time of %" PRIu64 " with %" PRIu64
                         " KiB of memory, at most %llu passes are accepted",
                         passes, memory_kib, LUKS_ARGON2_COST_KIB_MAX / memory_kib);
    return 0;
}

static bool overlap(const struct luks_area *a, const struct luks_area *b)
{
    return a->offset_bytes < b->offset_bytes + b->length_bytes &&
           b->offset_bytes < a->offset_bytes + a->length_bytes;
}

int luks_policy_areas(const struct luks_areas *areas, const unsigned slots[],
                      const struct luks_sizes *sizes, struct error *err)
{
    for (unsigned i = 0; i < areas->count; i++) {
        const struct luks_area *area = &areas->items[i];

        if (area->offset_bytes + area->length_bytes > sizes->header_bytes)
            return error_set(err, -EINVAL,
                             "keyslot %u: its area ends at byte %" PRIu64 ", but the %s has only "
                             "%" PRIu64 " bytes: it is truncated",
                             slots[i], area->offset_bytes + area->length_bytes,
                             sizes->detached ? "header file" : "image", sizes->header_bytes);
        for (unsigned j = 0; j < i; j++)
            if (overlap(area, &areas->items[j]))
                return error_set(err, -EPERM, "keyslot %u: its area overlaps the one of keyslot %u",
                                 slots[i], slots[j]);
    }
    return 0;
}

int luks_policy_payload(struct luks_segment *segment, uint64_t fixed_bytes,
                        const struct luks_sizes *sizes, struct error *err)
{
    uint64_t offset_bytes = segment->payload_offset_bytes;
    uint64_t rest_bytes;

    if (sizes->data_bytes <= offset_bytes)
        return error_set(err, -ENODATA,
                         "the image is %" PRIu64 " bytes, its payload begins at %" PRIu64
                         ": it is truncated, or it is a detached header (then give it with "
                         "--header, and the data as the image)",
                         sizes->data_bytes, offset_bytes);
    rest_bytes = sizes->data_bytes - offset_bytes;
    if (fixed_bytes > rest_bytes)
        return error_set(err, -EINVAL,
                         "the image is %" PRIu64 " bytes, its payload of %" PRIu64
                         " bytes begins at %" PRIu64 ": it is truncated",
                         sizes->data_bytes, fixed_bytes, offset_bytes);
    segment->fixed_size = fixed_bytes != 0;
    segment->payload_bytes =
        fixed_bytes != 0 ? fixed_bytes : rest_bytes - rest_bytes % segment->sector_bytes;
    if (segment->payload_bytes == 0)
        return error_set(err, -EINVAL,
                         "the image is %" PRIu64 " bytes, its payload begins at %" PRIu64
                         ": there is no room for one sector of %u bytes",
                         sizes->data_bytes, offset_bytes, segment->sector_bytes);
    if (segment->iv_offset_sectors > UINT64_MAX - segment->payload_bytes / 512)
        return error_set(err, -EPERM, "segment 0: iv_tweak %" PRIu64 " makes sector numbers wrap",
                         segment->iv_offset_sectors);
    return 0;
}
