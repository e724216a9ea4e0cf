/* A change of a header: see luks-change.h. */
#include "crypto/luks-change.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/luks-header.h"
#include "crypto/luks-keyslot.h"

#define SECTOR_BYTES 512u

struct luks_change {
    struct luks_header *header; /* its image is the new state */
    int before_fd;              /* the image as it was */
    struct luks_areas before;
};

/* ---- images in memory ---- */

static int load_changed(struct luks_header **out, struct luks_header *header, struct error *err)
{
    const struct luks_sizes *sizes = &header->sizes;
    int result = luks_load(out, luks_store_read_memory, &header->image_fd, sizes->header_bytes,
                           sizes->data_bytes, sizes->detached, err);

    if (result < 0)
        error_prefix(err, "the changed header would be refused: ");
    return result;
}

static size_t next_bytes(uint64_t left_bytes)
{
    return left_bytes < LUKS_CHUNK_BYTES ? (size_t)left_bytes : LUKS_CHUNK_BYTES;
}

static int area_differs(bool *differs, const struct luks_change *change,
                        const struct luks_area *area, struct luks_chunks *chunks, struct error *err)
{
    uint64_t end_bytes = area->offset_bytes + area->length_bytes;
    int before_fd = change->before_fd, after_fd = change->header->image_fd;
    int result = 0;

    *differs = false;
    for (uint64_t at = area->offset_bytes; at < end_bytes && result == 0 && !*differs;) {
        size_t now = next_bytes(end_bytes - at);

        result = luks_store_read_memory(&before_fd, at, chunks->found, now, err);
        if (result == 0)
            result = luks_store_read_memory(&after_fd, at, chunks->wanted, now, err);
        *differs = result == 0 && memcmp(chunks->found, chunks->wanted, now) != 0;
        at += now;
    }
    return result;
}

/* ---- the areas of keyslots ---- */

static bool is_among(const struct luks_areas *areas, const struct luks_area *area)
{
    for (unsigned i = 0; i < areas->count; i++) {
        const struct luks_area *other = &areas->items[i];

        if (area->offset_bytes < other->offset_bytes + other->length_bytes &&
            other->offset_bytes < area->offset_bytes + area->length_bytes)
            return true;
    }
    return false;
}

/* A keyslot that is in use must not be overwritten: until all of it is written it would be lost. */
static int check_areas(const struct luks_change *change, const struct luks_areas *after,
                       struct luks_chunks *chunks, struct error *err)
{
    for (unsigned i = 0; i < after->count; i++) {
        bool differs = false;
        int result = 0;

        if (is_among(&change->before, &after->items[i]))
            result = area_differs(&differs, change, &after->items[i], chunks, err);
        if (result == 0 && differs)
            result = error_set(err, -ENOSPC,
                               "no keyslot is free for the new key; remove a key that is not "
                               "needed (key list shows them)");
        if (result < 0)
            return result;
    }
    return 0;
}

static int store_material(const struct luks_change *change, const struct luks_areas *after,
                          const struct luks_store *store, struct luks_chunks *chunks,
                          struct error *err)
{
    int result = 0;

    for (unsigned i = 0; i < after->count && result == 0; i++)
        if (!is_among(&change->before, &after->items[i]))
            result =
                luks_store_range(store, change->header->image_fd, &after->items[i], chunks, err);
    return result;
}

static int store_wiped(const struct luks_change *change, const struct luks_areas *after,
                       const struct luks_store *store, struct luks_chunks *chunks,
                       struct error *err)
{
    const struct luks_areas *before = &change->before;
    int result = 0;

    for (unsigned i = 0; i < before->count && result == 0; i++)
        if (!is_among(after, &before->items[i]))
            result =
                luks_store_range(store, change->header->image_fd, &before->items[i], chunks, err);
    return result;
}

/* ---- the header ---- */

/* Of the two sectors that a LUKS1 header touches, those that change. */
static int store_luks1_bytes(const struct luks_store *store, const uint8_t *old, const uint8_t *new,
                             struct error *err)
{
    uint8_t found[SECTOR_BYTES];
    bool changed = false;
    int result = 0;

    for (size_t at = 0; at < LUKS1_HEADER_BYTES && result == 0; at += SECTOR_BYTES) {
        size_t now = at == 0 ? SECTOR_BYTES : LUKS1_HEADER_BYTES - SECTOR_BYTES;

        if (memcmp(old + at, new + at, now) == 0)
            continue;
        changed = true;
        result = store->write(store->context, at, new + at, now, err);
    }
    if (result < 0 || !changed)
        return result;
    result = store->flush(store->context, err);
    for (size_t at = 0; at < LUKS1_HEADER_BYTES && result == 0; at += SECTOR_BYTES) {
        size_t now = at == 0 ? SECTOR_BYTES : LUKS1_HEADER_BYTES - SECTOR_BYTES;

        result = luks_store_look(store, at, new + at, found, now, err);
    }
    return result;
}

/* There is one copy only, and it touches two sectors: a key that goes stays until the one that comes is
 * there. */
static int store_luks1(const struct luks_change *change, const struct luks_store *store,
                       struct error *err)
{
    uint8_t old[LUKS1_HEADER_BYTES], both[LUKS1_HEADER_BYTES], new[LUKS1_HEADER_BYTES];
    struct luks1_header old_header, new_header;
    int before_fd = change->before_fd, after_fd = change->header->image_fd;
    int result = luks_store_read_memory(&before_fd, 0, old, sizeof(old), err);

    if (result == 0)
        result = luks_store_read_memory(&after_fd, 0, new, sizeof(new), err);
    if (result == 0)
        result = luks1_parse(&old_header, old, err);
    if (result == 0)
        result = luks1_parse(&new_header, new, err);
    if (result < 0)
        return result;
    memcpy(both, new, sizeof(both));
    for (unsigned slot = 0; slot < LUKS1_KEYSLOTS; slot++) {
        size_t at = LUKS1_KEYSLOTS_AT + slot * (size_t)LUKS1_KEYSLOT_BYTES;

        if (old_header.keyslots[slot].active && !new_header.keyslots[slot].active)
            memcpy(both + at, old + at, LUKS1_KEYSLOT_BYTES);
    }
    result = store_luks1_bytes(store, old, both, err);
    if (result == 0)
        result = store_luks1_bytes(store, both, new, err);
    return result;
}

static int store_header(const struct luks_change *change, const struct luks_store *store,
                        struct luks_chunks *chunks, struct error *err)
{
    const struct luks_header *header = change->header;

    if (header->segment.type == LUKS_TYPE_1)
        return store_luks1(change, store, err);
    /* The copy that is damaged or older first: the good one stays until there is another. */
    return luks_store_copies(store, header->image_fd, header->copy_bytes, header->primary_is_worse,
                             chunks, err);
}

/* ---- the change ---- */

static int copy_before(struct luks_change *change, struct error *err)
{
    struct luks_header *header = change->header;
    int result = luks_image_create(&change->before_fd, header->sizes.header_bytes,
                                   header->sizes.header_bytes, err);

    if (result == 0)
        result = luks_image_copy(change->before_fd, 0,
                                 header->segment.type == LUKS_TYPE_1 ? LUKS1_HEADER_BYTES
                                                                     : 2 * header->copy_bytes,
                                 luks_store_read_memory, &header->image_fd, err);
    for (unsigned i = 0; i < header->areas.count && result == 0; i++)
        result = luks_image_copy(change->before_fd, header->areas.items[i].offset_bytes,
                                 header->areas.items[i].length_bytes, luks_store_read_memory,
                                 &header->image_fd, err);
    return result;
}

int luks_change_begin(struct luks_change **out, struct luks_header *header, struct error *err)
{
    struct luks_change *change = calloc(1, sizeof(*change));
    int result;

    if (!change)
        return error_set(err, -ENOMEM, "no memory for a LUKS header");
    change->header = header;
    change->before_fd = -1;
    change->before = header->areas;
    result = copy_before(change, err);
    if (result < 0) {
        luks_change_end(change);
        return result;
    }
    *out = change;
    return 0;
}

int luks_change_check(struct luks_change *change, int slot, const struct secret *passphrase,
                      struct error *err)
{
    struct luks_header *changed = NULL;
    struct secret *volume_key = NULL;
    int result = load_changed(&changed, change->header, err);

    if (result < 0)
        return result;
    result = luks_keyslot_open(&volume_key, &slot, changed, passphrase, err);
    if (result < 0)
        error_prefix(err, "the new key was tried, and nothing was changed: ");
    secret_free(volume_key);
    luks_free(changed);
    return result;
}

/* The keyslots that the changed header has.  One without any can't be loaded, and need not be. */
static int changed_areas(struct luks_areas *out, struct luks_header *header, struct error *err)
{
    struct luks_header *changed = NULL;
    int result;

    *out = (struct luks_areas){ 0 };
    if (!luks_keyslot_any(header))
        return 0;
    result = load_changed(&changed, header, err);
    if (result == 0)
        *out = changed->areas;
    luks_free(changed);
    return result;
}

int luks_change_commit(struct luks_change *change, const struct luks_store *store,
                       struct error *err)
{
    struct luks_chunks *chunks = malloc(sizeof(*chunks));
    struct luks_areas after;
    int result;

    if (!chunks)
        return error_set(err, -ENOMEM, "no memory to write the header");
    result = changed_areas(&after, change->header, err);
    if (result == 0)
        result = check_areas(change, &after, chunks, err);
    if (result < 0)
        goto out;
    result = store_material(change, &after, store, chunks, err);
    if (result == 0)
        result = store_header(change, store, chunks, err);
    if (result == 0)
        result = store_wiped(change, &after, store, chunks, err);
    if (result < 0)
        error_prefix(err, "the change of the header is incomplete: ");
out:
    free(chunks);
    return result;
}

void luks_change_end(struct luks_change *change)
{
    if (!change)
        return;
    if (change->before_fd >= 0)
        (void)close(change->before_fd);
    free(change);
}
