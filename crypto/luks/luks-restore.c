/* Restoring the backup of a header: see luks-restore.h. */
#include "crypto/luks/luks-restore.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/luks/luks-backup.h"
#include "crypto/luks/luks-header.h"
#include "crypto/luks/luks2-rewrite.h"

#define SECTOR_BYTES 512u
#define PAGE_BYTES 4096u
#define LUKS1_AT_OFFSET 40u      /* of its material, in a keyslot */
#define LUKS1_WHOLE_KEYSLOTS 6u  /* which end in the first sector */
#define LUKS1_PADDED_BYTES 1024u /* two sectors: the header with the padding that belongs to it */

struct luks_restore {
    struct luks_header *backup;
    const struct luks_header *old; /* NULL: there is nothing to lose */
    struct luks_header *detour;    /* NULL: none is needed, or possible */
    int backup_fd, detour_fd;      /* images of the areas */
    uint64_t area_bytes;           /* of the backup */
    bool second_first;             /* LUKS1: the order of its sectors, for both steps */
    const char *risk;
    struct luks_steps steps;
    struct luks_chunks chunks;
};

static const char no_room[] =
    "there is no room in it for the old and the new keys at the same time";
static const char other_layout[] = "the headers are laid out differently";

/* ---- areas ---- */

static const struct luks_area *overlapped(const struct luks_areas *areas,
                                          const struct luks_area *area)
{
    for (unsigned i = 0; i < areas->count; i++) {
        const struct luks_area *other = &areas->items[i];

        if (area->offset_bytes < other->offset_bytes + other->length_bytes &&
            other->offset_bytes < area->offset_bytes + area->length_bytes)
            return other;
    }
    return NULL;
}

static size_t next_bytes(uint64_t left_bytes)
{
    return left_bytes < LUKS_CHUNK_BYTES ? (size_t)left_bytes : LUKS_CHUNK_BYTES;
}

/* Would this area of the backup change what is stored? */
static int differs(bool *out, struct luks_restore *restore, const struct luks_area *area,
                   const struct luks_store *store, struct error *err)
{
    struct luks_chunks *chunks = &restore->chunks;
    int result = 0;

    *out = false;
    for (uint64_t done = 0; done < area->length_bytes && !*out && result == 0;) {
        size_t now = next_bytes(area->length_bytes - done);
        uint64_t at = area->offset_bytes + done;

        result = luks_store_read_memory(&restore->backup_fd, at, chunks->wanted, now, err);
        if (result == 0)
            result = store->read(store->context, at, chunks->found, now, err);
        *out = result == 0 && memcmp(chunks->wanted, chunks->found, now) != 0;
        done += now;
    }
    return result;
}

/* ---- where the detour has the keys ---- */

/* `slots[i]`: whose area it is, for LUKS1.  `moves[i]`: it can't be where the backup has it. */
struct detour {
    struct luks_areas areas;
    bool moves[LUKS2_KEYSLOTS_MAX];
    uint32_t luks1_offset_sectors[LUKS1_KEYSLOTS];
};

static int find_conflicts(struct detour *detour, bool *any, struct luks_restore *restore,
                          const struct luks_store *store, struct error *err)
{
    int result = 0;

    *any = false;
    detour->areas = restore->backup->areas;
    for (unsigned i = 0; i < detour->areas.count && result == 0; i++) {
        const struct luks_area *area = &detour->areas.items[i];

        if (overlapped(&restore->old->areas, area))
            result = differs(&detour->moves[i], restore, area, store, err);
        *any |= detour->moves[i];
    }
    return result;
}

static bool move_luks2(struct detour *detour, unsigned i, const struct luks_restore *restore)
{
    struct luks_area area = { 2 * restore->backup->copy_bytes,
                              restore->backup->areas.items[i].length_bytes };

    while (area.offset_bytes + area.length_bytes <= restore->area_bytes) {
        const struct luks_area *other = overlapped(&restore->old->areas, &area);

        if (other == NULL)
            other = overlapped(&restore->backup->areas, &area);
        if (other == NULL)
            other = overlapped(&detour->areas, &area);
        if (other == NULL) {
            detour->areas.items[i] = area;
            return true;
        }
        area.offset_bytes =
            (other->offset_bytes + other->length_bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    }
    return false;
}

/* Two keyslots of LUKS1 that are in the same sector change places, or half of a change would be no
 * header. */
static bool move_luks1(struct detour *detour, unsigned i, unsigned slot,
                       const struct luks_restore *restore)
{
    const struct luks1_keyslot *keyslots = restore->backup->luks1.keyslots;
    uint32_t *offsets = detour->luks1_offset_sectors;
    struct luks_area *area = &detour->areas.items[i];

    for (unsigned other = 0; other < LUKS1_KEYSLOTS; other++) {
        struct luks_area place = { (uint64_t)offsets[other] * SECTOR_BYTES, area->length_bytes };
        uint32_t offset_sectors = offsets[other];

        if (keyslots[other].active || overlapped(&restore->old->areas, &place) != NULL ||
            (other < LUKS1_WHOLE_KEYSLOTS) != (slot < LUKS1_WHOLE_KEYSLOTS))
            continue;
        offsets[other] = offsets[slot];
        offsets[slot] = offset_sectors;
        *area = place;
        return true;
    }
    return false;
}

static bool move_all(struct detour *detour, const struct luks_restore *restore)
{
    const struct luks_header *backup = restore->backup;
    unsigned slot = 0;

    for (unsigned i = 0; i < LUKS1_KEYSLOTS; i++)
        detour->luks1_offset_sectors[i] = backup->luks1.keyslots[i].offset_sectors;
    for (unsigned i = 0; i < detour->areas.count; i++, slot++) {
        if (backup->segment.type == LUKS_TYPE_1)
            while (!backup->luks1.keyslots[slot]
                        .active) /* areas are of those in use, in their order */
                slot++;
        if (!detour->moves[i])
            continue;
        if (backup->segment.type == LUKS_TYPE_1 ? !move_luks1(detour, i, slot, restore)
                                                : !move_luks2(detour, i, restore))
            return false;
    }
    return true;
}

/* ---- the image of the detour ---- */

static int copy_material(struct luks_restore *restore, const struct detour *detour,
                         struct error *err)
{
    const struct luks_areas *from = &restore->backup->areas, *to = &detour->areas;
    int result = 0;

    for (unsigned i = 0; i < from->count; i++) {
        uint64_t length_bytes = from->items[i].length_bytes;

        for (uint64_t done = 0; done < length_bytes && result == 0;) {
            size_t now = next_bytes(length_bytes - done);
            uint8_t *piece = restore->chunks.wanted;

            result = luks_store_read_memory(&restore->backup_fd, from->items[i].offset_bytes + done,
                                            piece, now, err);
            if (result == 0)
                result = cryptsetup_image_write(restore->detour_fd,
                                                to->items[i].offset_bytes + done, piece, now, err);
            done += now;
        }
    }
    return result;
}

static int write_luks1(int fd, const struct detour *detour, struct error *err)
{
    int result = 0;

    for (unsigned slot = 0; slot < LUKS1_KEYSLOTS && result == 0; slot++) {
        uint64_t at = LUKS1_KEYSLOTS_AT + slot * LUKS1_KEYSLOT_BYTES + LUKS1_AT_OFFSET;
        uint32_t offset_sectors = detour->luks1_offset_sectors[slot];
        uint8_t bytes[4];

        for (unsigned i = 0; i < 4; i++)
            bytes[i] = (uint8_t)(offset_sectors >> (24 - 8 * i));
        result = cryptsetup_image_write(fd, at, bytes, sizeof bytes, err);
    }
    return result;
}

static uint64_t metadata_bytes(const struct luks_header *header)
{
    return header->segment.type == LUKS_TYPE_1 ? LUKS1_PADDED_BYTES : 2 * header->copy_bytes;
}

static int make_detour(struct luks_restore *restore, const struct detour *detour, struct error *err)
{
    const struct luks_header *backup = restore->backup;
    const struct luks_sizes *sizes = &backup->sizes;
    int result =
        cryptsetup_image_create(&restore->detour_fd, sizes->header_bytes, restore->area_bytes, err);

    if (result == 0)
        result = cryptsetup_image_copy(restore->detour_fd, 0, metadata_bytes(backup),
                                       luks_store_read_memory, &restore->backup_fd, err);
    if (result == 0)
        result = copy_material(restore, detour, err);
    if (result == 0 && backup->segment.type == LUKS_TYPE_1)
        result = write_luks1(restore->detour_fd, detour, err);
    else if (result == 0)
        result = luks2_rewrite_areas(restore->detour_fd, backup->copy_bytes, &backup->areas,
                                     &detour->areas, err);
    if (result == 0)
        result = luks_load(&restore->detour, luks_store_read_memory, &restore->detour_fd,
                           sizes->header_bytes, sizes->data_bytes, sizes->detached, err);
    return result;
}

/* ---- the order of the sectors of a LUKS1 header ---- */

static bool has_whole_key(const struct luks1_header *header)
{
    for (unsigned slot = 0; slot < LUKS1_WHOLE_KEYSLOTS; slot++)
        if (header->keyslots[slot].active)
            return true;
    return false;
}

/* The first sector of one and the second of the other: a header, with a key that is whole? */
static bool works_mixed(const uint8_t *first, const uint8_t *second, const struct luks_sizes *sizes)
{
    uint8_t mixed[LUKS1_HEADER_BYTES];
    struct luks1_header header;
    struct luks_segment segment;
    struct luks_areas areas;

    memcpy(mixed, first, SECTOR_BYTES);
    memcpy(mixed + SECTOR_BYTES, second + SECTOR_BYTES, sizeof mixed - SECTOR_BYTES);
    return luks1_policy_parse(&header, mixed, NULL) == 0 &&
           luks1_policy_check(&segment, &areas, &header, sizes, NULL) == 0 &&
           has_whole_key(&header);
}

/* From `old` to `new`; false: between the two sectors there may be no key. */
static bool has_luks1_order(struct luks_restore *restore, int old_fd, int new_fd)
{
    uint8_t old[LUKS1_HEADER_BYTES], new[LUKS1_HEADER_BYTES];
    const struct luks_sizes *sizes = &restore->backup->sizes;

    if (luks_store_read_memory(&old_fd, 0, old, sizeof old, NULL) < 0 ||
        luks_store_read_memory(&new_fd, 0, new, sizeof new, NULL) < 0)
        return false;
    if (memcmp(old, new, SECTOR_BYTES) == 0 ||
        memcmp(old + SECTOR_BYTES, new + SECTOR_BYTES, sizeof old - SECTOR_BYTES) == 0)
        return true; /* one sector, which is written or not */
    return restore->second_first ? works_mixed(old, new, sizes) : works_mixed(new, old, sizes);
}

/* By way of the detour, if there is one. */
static bool choose_luks1_order(struct luks_restore *restore)
{
    int old_fd = restore->old->image_fd, detour_fd = restore->detour_fd;
    int new_fd = restore->backup_fd;

    for (unsigned i = 0; i < 2; i++) {
        restore->second_first = i == 0;
        if (restore->detour != NULL ? has_luks1_order(restore, old_fd, detour_fd) &&
                                          has_luks1_order(restore, detour_fd, new_fd)
                                    : has_luks1_order(restore, old_fd, new_fd))
            return true;
    }
    return false;
}

/* ---- the plan ---- */

static bool same_layout(const struct luks_header *old, const struct luks_header *new)
{
    return old->segment.type == new->segment.type && old->copy_bytes == new->copy_bytes;
}

static int plan_detour(struct luks_restore *restore, const struct luks_store *store,
                       struct error *err)
{
    struct detour detour = { .areas.count = 0 };
    bool any = false;
    int result;

    if (!same_layout(restore->old, restore->backup)) {
        restore->risk = other_layout;
        return 0;
    }
    result = find_conflicts(&detour, &any, restore, store, err);
    if (result == 0 && any && !move_all(&detour, restore))
        restore->risk = no_room;
    else if (result == 0 && any)
        result = make_detour(restore, &detour, err);
    if (result == -ENOSPC) { /* of the text of the header */
        restore->risk = no_room;
        result = 0;
    }
    if (result == 0 && restore->risk == NULL && restore->backup->segment.type == LUKS_TYPE_1 &&
        !choose_luks1_order(restore))
        restore->risk = other_layout;
    return result;
}

int luks_restore_plan(struct luks_restore **out, struct luks_header *backup, luks_read_fn *read,
                      void *context, const struct luks_header *old, const struct luks_store *store,
                      struct error *err)
{
    struct luks_restore *restore = calloc(1, sizeof *restore);
    uint64_t bytes = 0;
    int result;

    if (restore == NULL)
        return error_no_memory(err, "to restore a header");
    restore->backup = backup;
    restore->old = old != NULL && old->areas.count > 0 ? old : NULL;
    restore->backup_fd = restore->detour_fd = -1;
    result = luks_backup_make(&restore->backup_fd, &bytes, backup, read, context, err);
    if (result == 0)
        result = luks_backup_area_bytes(&restore->area_bytes, backup, err);
    if (result == 0 && restore->old != NULL)
        result = plan_detour(restore, store, err);
    if (result < 0) {
        luks_restore_free(restore);
        return result;
    }
    *out = restore;
    return 0;
}

const char *luks_restore_risk(const struct luks_restore *restore)
{
    return restore->risk;
}

void luks_restore_free(struct luks_restore *restore)
{
    if (restore == NULL)
        return;
    luks_free(restore->detour);
    if (restore->backup_fd >= 0)
        (void)close(restore->backup_fd);
    if (restore->detour_fd >= 0)
        (void)close(restore->detour_fd);
    free(restore);
}

/* ---- writing ---- */

static void add_header(struct luks_restore *restore, const struct luks_header *header, int fd,
                       bool primary_first)
{
    if (header->segment.type == LUKS_TYPE_2) {
        luks_steps_add_copies(&restore->steps, fd, header->copy_bytes, primary_first);
        return;
    }
    for (unsigned i = 0; i < 2; i++) {
        bool second = restore->second_first == (i == 0);
        struct luks_area sector = { second ? SECTOR_BYTES : 0, SECTOR_BYTES };

        luks_steps_add(&restore->steps, &sector, fd, LUKS_PLACE_USED);
    }
}

/* Beside the keys that `old` has: an area which overlaps one of those is there already. */
static void add_beside(struct luks_restore *restore, const struct luks_header *header, int fd,
                       const struct luks_header *old)
{
    for (unsigned i = 0; i < header->areas.count; i++)
        if (overlapped(&old->areas, &header->areas.items[i]) == NULL)
            luks_steps_add(&restore->steps, &header->areas.items[i], fd, LUKS_PLACE_USED);
    add_header(restore, header, fd, old->primary_is_worse);
}

static void add_area(struct luks_restore *restore)
{
    uint64_t from_bytes = metadata_bytes(restore->backup);
    struct luks_area keyslots = { from_bytes, restore->area_bytes - from_bytes };

    luks_steps_add(&restore->steps, &keyslots, restore->backup_fd, LUKS_PLACE_USED);
}

static void add_steps(struct luks_restore *restore)
{
    const struct luks_header *old = restore->old;

    if (old == NULL || restore->risk != NULL) {
        add_area(restore);
        add_header(restore, restore->backup, restore->backup_fd, false);
        restore->steps.turn = restore->steps.count;
        return;
    }
    if (restore->detour) {
        add_beside(restore, restore->detour, restore->detour_fd, old);
        old = restore->detour;
    }
    add_beside(restore, restore->backup, restore->backup_fd, old);
    restore->steps.turn = restore->steps.count;
    add_area(restore);
}

int luks_restore_run(struct luks_restore *restore, const struct luks_store *store,
                     enum luks_outcome *outcome, struct error *err)
{
    struct luks_end end;
    int result;

    add_steps(restore);
    result = luks_steps_run(&restore->steps, store, &end, err);
    *outcome = end.outcome;
    return result;
}
