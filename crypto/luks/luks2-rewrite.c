/* Changes of a header's text: see luks2-rewrite.h. */
#include "crypto/luks/luks2-rewrite.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/luks/cryptsetup-library.h"
#include "crypto/luks/luks-store.h"
#include "crypto/luks/luks2-binary.h"
#include "crypto/luks/luks2-json.h"

typedef int edit_fn(const void *context, struct json_object *root, struct error *err);

static int set_text(struct json_object *object, const char *key, const char *text,
                    struct error *err)
{
    struct json_object *value = json_object_new_string(text);

    if (value != NULL && json_object_object_add(object, key, value) == 0)
        return 0;
    json_object_put(value);
    return error_no_memory(err, "for the header");
}

static int set_cipher(const void *cipher, struct json_object *root, struct error *err)
{
    struct json_object *segments = NULL, *segment = NULL;
    int result = luks2_json_object(&segments, root, "segments", err);

    if (result == 0)
        result = luks2_json_object(&segment, segments, "0", err);
    return result == 0 ? set_text(segment, "encryption", cipher, err) : result;
}

struct moved_areas {
    const struct luks_areas *from, *to;
};

static int set_offset(struct json_object *keyslot, const struct moved_areas *moved,
                      struct error *err)
{
    struct json_object *area = NULL;
    uint64_t offset_bytes = 0;
    char text[24];
    int result = luks2_json_object(&area, keyslot, "area", err);

    if (result == 0)
        result = luks2_json_text_number(&offset_bytes, area, "offset", err);
    for (unsigned i = 0; i < moved->from->count && result == 0; i++) {
        if (moved->from->items[i].offset_bytes != offset_bytes)
            continue;
        (void)snprintf(text, sizeof text, "%" PRIu64, moved->to->items[i].offset_bytes);
        return set_text(area, "offset", text, err);
    }
    return result;
}

static int set_offsets(const void *moved, struct json_object *root, struct error *err)
{
    struct json_object *keyslots = NULL;
    int result = luks2_json_object(&keyslots, root, "keyslots", err);

    if (result < 0)
        return result;
    json_object_object_foreach(keyslots, slot, keyslot)
    {
        (void)slot;
        if (result == 0)
            result = set_offset(keyslot, moved, err);
    }
    return result;
}

/* The text with the change, padded with zeros. */
static int rewrite_text(char *text, size_t text_bytes, edit_fn *edit, const void *context,
                        struct error *err)
{
    struct json_object *root = NULL;
    const char *changed;
    int result = luks2_json_parse(&root, text, text_bytes, err);

    if (result < 0)
        return result;
    result = edit(context, root, err);
    changed = json_object_to_json_string_ext(root, JSON_C_TO_STRING_PLAIN |
                                                       JSON_C_TO_STRING_NOSLASHESCAPE);
    if (result == 0 && (changed == NULL || strlen(changed) >= text_bytes))
        result = error_set(err, -ENOSPC, "the header has no room for its text");
    if (result == 0)
        (void)strncpy(text, changed, text_bytes); /* which fills the rest with zeros */
    json_object_put(root);
    return result;
}

static int rewrite(int image_fd, uint64_t copy_bytes, edit_fn *edit, const void *context,
                   struct error *err)
{
    uint8_t *copy = malloc((size_t)copy_bytes);
    int result = 0;

    if (copy == NULL)
        return error_no_memory(err, "for a LUKS header");
    for (unsigned i = 0; i < 2 && result == 0; i++) {
        result = luks_store_read_memory(&image_fd, i * copy_bytes, copy, (size_t)copy_bytes, err);
        if (result == 0)
            result = rewrite_text((char *)copy + LUKS2_BINARY_BYTES,
                                  (size_t)copy_bytes - LUKS2_BINARY_BYTES, edit, context, err);
        if (result == 0)
            result = luks2_copy_seal(copy, copy_bytes, err);
        if (result == 0)
            result =
                cryptsetup_image_write(image_fd, i * copy_bytes, copy, (size_t)copy_bytes, err);
    }
    free(copy);
    return result;
}

int luks2_rewrite_cipher(int image_fd, uint64_t copy_bytes, const char *cipher, struct error *err)
{
    return rewrite(image_fd, copy_bytes, set_cipher, cipher, err);
}

int luks2_rewrite_areas(int image_fd, uint64_t copy_bytes, const struct luks_areas *from,
                        const struct luks_areas *to, struct error *err)
{
    struct moved_areas moved = { from, to };

    return rewrite(image_fd, copy_bytes, set_offsets, &moved, err);
}
