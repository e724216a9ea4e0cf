/* A change of a header: see luks-change.h. */
#include "crypto/luks/luks-change.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/luks/luks-header.h"
#include "crypto/luks/luks-keyslot.h"

struct luks_change {
    struct luks_header *header; /* its image is the new state */
    int before_fd;              /* the image as it was */
    int both_fd;                /* LUKS1: the header in between; else -1 */
    struct luks_areas before;
    struct luks_steps steps;
    unsigned first_header_step;
    enum luks_outcome outcome;
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

/* ---- the steps ---- */

static void add_material(struct luks_steps *steps, const struct luks_change *change,
                         const struct luks_areas *after)
{
    for (unsigned i = 0; i < after->count; i++)
        if (!is_among(&change->before, &after->items[i]))
            luks_steps_add(steps, &after->items[i], change->header->image_fd, LUKS_PLACE_SPARE);
}

static void add_wiped(struct luks_steps *steps, const struct luks_change *change,
                      const struct luks_areas *after)
{
    for (unsigned i = 0; i < change->before.count; i++)
        if (!is_among(after, &change->before.items[i]))
            luks_steps_add(steps, &change->before.items[i], change->header->image_fd,
                           LUKS_PLACE_WIPED);
}

/* The header with which the keys of before and those that come open the volume. */
static int make_both(uint8_t both[LUKS1_HEADER_BYTES], const uint8_t old[LUKS1_HEADER_BYTES],
                     const uint8_t new[LUKS1_HEADER_BYTES], struct error *err)
{
    struct luks1_header old_header, new_header;
    int result = luks1_policy_parse(&old_header, old, err);

    if (result == 0)
        result = luks1_policy_parse(&new_header, new, err);
    if (result != 0)
        return result;
    memcpy(both, new, LUKS1_HEADER_BYTES);
    for (unsigned slot = 0; slot < LUKS1_KEYSLOTS; slot++) {
        size_t at = LUKS1_KEYSLOTS_AT + slot * (size_t)LUKS1_KEYSLOT_BYTES;

        if (old_header.keyslots[slot].active && !new_header.keyslots[slot].active)
            memcpy(both + at, old + at, LUKS1_KEYSLOT_BYTES);
    }
    return 0;
}

/* There is one copy only, and it touches two sectors: a key that goes stays until the one that
 * comes is there. */
static int add_luks1(struct luks_steps *steps, struct luks_change *change, struct error *err)
{
    static const struct luks_area range = { 0, LUKS1_HEADER_BYTES };
    uint8_t old[LUKS1_HEADER_BYTES], both[LUKS1_HEADER_BYTES], new[LUKS1_HEADER_BYTES];
    int result = luks_store_read_memory(&change->before_fd, 0, old, sizeof old, err);

    if (result == 0)
        result = luks_store_read_memory(&change->header->image_fd, 0, new, sizeof new, err);
    if (result == 0)
        result = make_both(both, old, new, err);
    if (result == 0)
        result = cryptsetup_image_create(&change->both_fd, sizeof both, sizeof both, err);
    if (result == 0)
        result = cryptsetup_image_write(change->both_fd, 0, both, sizeof both, err);
    if (result < 0)
        return result;
    if (memcmp(old, both, sizeof old) != 0)
        luks_steps_add(steps, &range, change->both_fd, LUKS_PLACE_USED);
    if (memcmp(both, new, sizeof both) != 0)
        luks_steps_add(steps, &range, change->header->image_fd, LUKS_PLACE_USED);
    return 0;
}

static int plan(struct luks_change *change, const struct luks_areas *after, struct error *err)
{
    const struct luks_header *header = change->header;
    struct luks_steps *steps = &change->steps;
    int result = 0;

    add_material(steps, change, after);
    change->first_header_step = steps->count;
    if (header->segment.type == LUKS_TYPE_1)
        result = add_luks1(steps, change, err);
    else /* the copy that is damaged or older first: the good one stays until there is another */
        luks_steps_add_copies(steps, header->image_fd, header->copy_bytes,
                              header->primary_is_worse);
    steps->turn = steps->count;
    add_wiped(steps, change, after);
    return result;
}

/* ---- when it failed ---- */

static bool is_stored(const struct luks_store *store, int image_fd, const struct luks_area *range,
                      struct luks_chunks *chunks)
{
    return luks_store_verify(store, image_fd, range, chunks, NULL) == 0;
}

/* The storage failed in the midst of the header, and again when that was to be undone.  One flush
 * that succeeds, after none that failed, makes what reads back what is stored. */
static enum luks_outcome find_out(const struct luks_change *change, const struct luks_store *store,
                                  struct luks_chunks *chunks)
{
    const struct luks_header *header = change->header;
    bool luks1 = header->segment.type == LUKS_TYPE_1;
    struct luks_area copies[2] = { { 0, luks1 ? LUKS1_HEADER_BYTES : header->copy_bytes },
                                   { header->copy_bytes, header->copy_bytes } };
    enum luks_outcome outcome = LUKS_OUTCOME_UNKNOWN;

    if (store->flush(store->context, NULL) < 0)
        return outcome;
    for (unsigned i = 0; i < (luks1 ? 1u : 2u); i++) {
        if (is_stored(store, header->image_fd, &copies[i], chunks))
            return LUKS_OUTCOME_AFTER; /* it is the later one, wherever it is */
        if (is_stored(store, change->before_fd, &copies[i], chunks) ||
            (luks1 && is_stored(store, change->both_fd, &copies[i], chunks)))
            outcome = LUKS_OUTCOME_BEFORE;
    }
    return outcome;
}

/* ---- the change ---- */

static int copy_before(struct luks_change *change, struct error *err)
{
    struct luks_header *header = change->header;
    int result = cryptsetup_image_create(&change->before_fd, header->sizes.header_bytes,
                                         header->sizes.header_bytes, err);

    if (result == 0)
        result = cryptsetup_image_copy(change->before_fd, 0,
                                       header->segment.type == LUKS_TYPE_1 ? LUKS1_HEADER_BYTES
                                                                           : 2 * header->copy_bytes,
                                       luks_store_read_memory, &header->image_fd, err);
    for (unsigned i = 0; i < header->areas.count && result == 0; i++)
        result = cryptsetup_image_copy(change->before_fd, header->areas.items[i].offset_bytes,
                                       header->areas.items[i].length_bytes, luks_store_read_memory,
                                       &header->image_fd, err);
    return result;
}

int luks_change_begin(struct luks_change **out, struct luks_header *header, struct error *err)
{
    struct luks_change *change = calloc(1, sizeof *change);
    int result;

    if (change == NULL)
        return error_no_memory(err, "for a LUKS header");
    change->header = header;
    change->before_fd = change->both_fd = -1;
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

static int commit(struct luks_change *change, const struct luks_store *store,
                  struct luks_chunks *chunks, struct error *err)
{
    struct luks_areas after;
    struct luks_end end;
    int result = changed_areas(&after, change->header, err);

    if (result == 0)
        result = check_areas(change, &after, chunks, err);
    if (result == 0)
        result = plan(change, &after, err);
    if (result < 0)
        return result;
    result = luks_steps_run(&change->steps, store, &end, err);
    change->outcome = end.outcome;
    if (result == 0 || end.outcome != LUKS_OUTCOME_UNKNOWN)
        return result;
    /* The later copy of a LUKS2 header counts, whatever the other one is. */
    if (change->header->segment.type == LUKS_TYPE_2 && end.stored > change->first_header_step)
        change->outcome = LUKS_OUTCOME_AFTER;
    else if (end.flushed)
        change->outcome = find_out(change, store, chunks);
    return result;
}

int luks_change_commit(struct luks_change *change, const struct luks_store *store,
                       struct error *err)
{
    struct luks_chunks *chunks = malloc(sizeof *chunks);
    int result;

    if (chunks == NULL)
        return error_no_memory(err, "to write the header");
    result = commit(change, store, chunks, err);
    free(chunks);
    return result;
}

enum luks_outcome luks_change_outcome(const struct luks_change *change)
{
    return change->outcome;
}

void luks_change_end(struct luks_change *change)
{
    if (change == NULL)
        return;
    if (change->before_fd >= 0)
        (void)close(change->before_fd);
    if (change->both_fd >= 0)
        (void)close(change->both_fd);
    free(change);
}
