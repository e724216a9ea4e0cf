/* Loading and unlocking LUKS headers: see luks.h. */
#include "crypto/luks/luks.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/luks/luks-header.h"
#include "crypto/luks/cryptsetup-library.h"
#include "crypto/luks/luks-policy.h"
#include "crypto/luks/luks-quote.h"
#include "crypto/luks/luks1-policy.h"
#include "crypto/luks/luks2-binary.h"
#include "crypto/luks/luks2-json.h"
#include "crypto/luks/luks2-policy.h"
#include "crypto/luks/format-signature.h"

#define MAGIC_BYTES 6u
#define PROBE_BYTES LUKS1_HEADER_BYTES

/* Where the header comes from. */
struct source {
    luks_read_fn *read;
    void *context;
    struct luks_sizes sizes;
};

/* The areas of keyslots, and no more of the header area: the rest is unused. */
static int copy_areas(int image_fd, const struct luks_areas *areas, const struct source *source,
                      struct error *err)
{
    int result = 0;

    for (unsigned i = 0; i < areas->count && result == 0; i++)
        result =
            cryptsetup_image_copy(image_fd, areas->items[i].offset_bytes,
                                  areas->items[i].length_bytes, source->read, source->context, err);
    return result;
}

static int load_library(struct luks_header *header, const char *type, struct error *err)
{
    int result = cryptsetup_library_open(&header->library, header->image_fd, err);

    if (result < 0)
        return result;
    cryptsetup_library_lock();
    result = crypt_load(header->library->device, type, NULL);
    cryptsetup_library_unlock();
    if (result < 0)
        return cryptsetup_library_error(header->library, result, "libcryptsetup refuses the header",
                                        err);
    return 0;
}

/* ---- LUKS1 ---- */

static int load_luks1(struct luks_header *header, const uint8_t bytes[LUKS1_HEADER_BYTES],
                      const struct source *source, struct error *err)
{
    struct luks_areas *areas = &header->areas;
    int result = luks1_policy_parse(&header->luks1, bytes, err);

    if (result == 0)
        result = luks1_policy_check(&header->segment, areas, &header->luks1, &source->sizes, err);
    if (result == 0)
        result = cryptsetup_image_create(&header->image_fd, source->sizes.header_bytes,
                                         source->sizes.header_bytes, err);
    if (result == 0)
        result = cryptsetup_image_write(header->image_fd, 0, bytes, LUKS1_HEADER_BYTES, err);
    if (result == 0)
        result = copy_areas(header->image_fd, areas, source, err);
    if (result == 0)
        result = load_library(header, CRYPT_LUKS1, err);
    return result;
}

/* ---- LUKS2 ---- */

static int check_copy(struct luks_segment *segment, struct luks_areas *areas,
                      const struct luks2_copy *copy, const struct luks_sizes *sizes,
                      struct error *err)
{
    const char *text = (const char *)copy->bytes + LUKS2_BINARY_BYTES;
    struct json_object *root = NULL;
    int result = luks2_json_parse(&root, text, copy->length_bytes - LUKS2_BINARY_BYTES, err);

    if (result < 0)
        return result;
    result = luks2_policy_check(segment, areas, root, copy->length_bytes, sizes, err);
    json_object_put(root);
    return result;
}

/* A luks2_check_fn.  -EINVAL: this is no header at all.  What the policy refuses in one is another
 * matter: the other copy, which may be older, must not stand in for it. */
static int check_text(const struct luks2_copy *copy, struct error *err)
{
    static const char *const parts[] = { "config", "keyslots", "digests", "segments", "tokens" };
    const char *text = (const char *)copy->bytes + LUKS2_BINARY_BYTES;
    struct json_object *root = NULL, *part;
    int result = luks2_json_parse(&root, text, copy->length_bytes - LUKS2_BINARY_BYTES, err);

    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && result == 0; i++)
        result = luks2_json_object(&part, root, parts[i], err);
    json_object_put(root);
    return result;
}

/* Only good copies are handed on, so that what was checked is all that can be loaded.
 * libcryptsetup then restores the damaged one, in this image alone. */
static int write_copies(int image_fd, const struct luks2_copies *copies, struct error *err)
{
    const struct luks2_copy *both[] = { &copies->primary, &copies->secondary };
    int result = 0;

    for (unsigned i = 0; i < 2 && result == 0; i++)
        if (both[i]->bytes)
            result = cryptsetup_image_write(image_fd, both[i]->offset_bytes, both[i]->bytes,
                                            (size_t)both[i]->length_bytes, err);
    return result;
}

/* The library may have read the same bytes differently: what it understood counts. */
static int check_understood(struct luks_header *header, uint64_t copy_bytes,
                            const struct luks_sizes *sizes, struct error *err)
{
    struct luks_areas areas = { 0 };
    struct luks_segment segment;
    const char *text = NULL;
    int result = crypt_dump_json(header->library->device, &text, 0);

    if (result < 0)
        return cryptsetup_library_error(header->library, result,
                                        "libcryptsetup can't show the header", err);
    result = luks2_json_parse(&header->json, text, strlen(text) + 1, err);
    if (result == 0)
        result = luks2_policy_check(&segment, &areas, header->json, copy_bytes, sizes, err);
    if (result < 0)
        return result;
    (void)snprintf(segment.uuid, sizeof segment.uuid, "%s", header->segment.uuid);
    header->segment = segment;
    header->areas = areas;
    header->copy_bytes = copy_bytes;
    return 0;
}

static int load_copies(struct luks_header *header, const struct luks2_copies *copies,
                       const struct source *source, struct error *err)
{
    struct luks_areas areas = { 0 };
    char uuid[40];
    int result = check_copy(&header->segment, &areas, copies->chosen, &source->sizes, err);

    if (result < 0)
        return result;
    luks2_copy_uuid(uuid, copies->chosen);
    (void)snprintf(header->segment.uuid, sizeof header->segment.uuid, "%.39s",
                   luks_quote(uuid, sizeof uuid).text);
    result = cryptsetup_image_create(&header->image_fd, source->sizes.header_bytes,
                                     source->sizes.header_bytes, err);
    if (result == 0)
        result = write_copies(header->image_fd, copies, err);
    if (result == 0)
        result = copy_areas(header->image_fd, &areas, source, err);
    if (result == 0)
        result = load_library(header, CRYPT_LUKS2, err);
    if (result == 0)
        result = check_understood(header, copies->chosen->length_bytes, &source->sizes, err);
    return result;
}

/* What is left of a header may be the rest of a volume that something else has overwritten by
 * now. */
static int check_signatures(const struct luks_header *header, const struct source *source,
                            struct error *err)
{
    struct format_signature signature;
    int result = format_signature_find(&signature, FORMAT_SIGNATURE_BESIDE_LUKS, source->read,
                                       source->context, source->sizes.header_bytes, err);

    if (result < 0 || signature.text[0] == '\0')
        return result;
    return error_set(err, -EEXIST,
                     "its %s copy is damaged, and there is %s now, which may have taken its place; "
                     "if the LUKS volume is what counts, remove that mark (wipefs) or restore the "
                     "header from a backup",
                     header->damaged_copy, signature.text);
}

static int load_luks2(struct luks_header *header, const struct source *source, struct error *err)
{
    struct luks2_copies copies;
    int result = luks2_copies_read(&copies, source->read, source->context,
                                   source->sizes.header_bytes, check_text, err);

    if (result < 0)
        return result;
    if (copies.primary.bytes == NULL)
        header->damaged_copy = "primary";
    else if (copies.secondary.bytes == NULL)
        header->damaged_copy = "secondary";
    header->primary_is_worse = copies.chosen == &copies.secondary;
    header->copies_differ = luks2_copies_differ(&copies);
    if (header->damaged_copy)
        result = check_signatures(header, source, err);
    if (result == 0)
        result = load_copies(header, &copies, source, err);
    luks2_copies_free(&copies);
    return result;
}

/* ---- both ---- */

static int load(struct luks_header *header, const struct source *source, struct error *err)
{
    static const uint8_t magic[MAGIC_BYTES] = { 'L', 'U', 'K', 'S', 0xba, 0xbe };
    uint64_t header_bytes = source->sizes.header_bytes;
    uint8_t probe[PROBE_BYTES] = { 0 };
    size_t probe_bytes = header_bytes < PROBE_BYTES ? (size_t)header_bytes : PROBE_BYTES;
    int result = source->read(source->context, 0, probe, probe_bytes, err);
    unsigned version;
    bool has_magic;

    if (result < 0)
        return result;
    version = (unsigned)(probe[MAGIC_BYTES] << 8 | probe[MAGIC_BYTES + 1]);
    has_magic = memcmp(probe, magic, MAGIC_BYTES) == 0;
    if (!has_magic || version != 1) {
        result = load_luks2(header, source, err);
        if (result != -EMEDIUMTYPE || !has_magic)
            return result;
        return error_set(err, -ENOTSUP, "LUKS version %u is not supported, only 1 and 2", version);
    }
    if (header_bytes < LUKS1_HEADER_BYTES)
        return error_set(err, -EINVAL,
                         "a LUKS1 header has %u bytes, but there are only %" PRIu64 ": truncated",
                         LUKS1_HEADER_BYTES, header_bytes);
    return load_luks1(header, probe, source, err);
}

int luks_load(struct luks_header **out, luks_read_fn *read, void *context, uint64_t header_bytes,
              uint64_t data_bytes, bool detached, struct error *err)
{
    struct source source = {
        .read = read,
        .context = context,
        .sizes = { .header_bytes = header_bytes, .data_bytes = data_bytes, .detached = detached },
    };
    struct luks_header *header = calloc(1, sizeof *header);
    int result;

    if (header == NULL)
        return error_no_memory(err, "for a LUKS header");
    header->image_fd = -1;
    header->sizes = source.sizes;
    result = load(header, &source, err);
    if (result < 0) {
        luks_free(header);
        if (result != -EMEDIUMTYPE)
            error_prefix(err, "LUKS header: ");
        return result;
    }
    *out = header;
    return 0;
}

void luks_free(struct luks_header *header)
{
    if (header == NULL)
        return;
    cryptsetup_library_close(header->library);
    json_object_put(header->json);
    if (header->image_fd >= 0)
        (void)close(header->image_fd);
    free(header);
}

const struct luks_segment *luks_segment(const struct luks_header *header)
{
    return &header->segment;
}

const char *luks_damaged_copy(const struct luks_header *header)
{
    return header->damaged_copy;
}
