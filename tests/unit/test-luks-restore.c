/* A header is restored from a backup, and the power goes: after any number of the 512-byte sectors
 * that were written since the last flush, in order or not, a key of before or of the backup opens
 * the volume. */
#include <errno.h>

#include "crypto/luks/luks-change.h"
#include "crypto/luks/luks-restore.h"
#include "tests/support/luks-disk.h"

#define AREA_BYTES (16u * MIB) /* the header with its keyslots, of LUKS2 */

/* ---- headers to restore, and to restore over ---- */

static void store(struct disk *disk, struct luks_header *header, struct luks_change *change)
{
    struct luks_store to = store_of(disk);

    EXPECT(luks_change_commit(change, &to, &err) == 0);
    luks_change_end(change);
    luks_free(header);
}

static struct luks_header *begin(struct luks_change **change, struct disk *disk)
{
    struct luks_header *header = load(disk);

    EXPECT(luks_change_begin(change, header, &err) == 0);
    return header;
}

static void add(struct disk *disk, const char *opened_by, const char *text, int slot)
{
    struct luks_change *change = NULL;
    struct luks_header *header = begin(&change, disk);

    EXPECT(add_key_as(header, opened_by, text, slot) >= 0);
    store(disk, header, change);
}

static void drop(struct disk *disk, int slot)
{
    struct luks_change *change = NULL;
    struct luks_header *header = begin(&change, disk);

    EXPECT(luks_keyslot_remove(slot, header, false, &err) == 0);
    store(disk, header, change);
}

/* The keyslots from..to-1, all with one passphrase. */
static void fill(struct disk *disk, const char *opened_by, const char *text, int from, int to)
{
    for (int slot = from; slot < to; slot++)
        add(disk, opened_by, text, slot);
}

/* ---- restoring ---- */

struct outcome {
    const char *risk;
    unsigned flushes;
};

static enum luks_outcome ended; /* the last one that failed */

/* One that may fail: `disk` says where. */
static int try_restore(struct disk *disk, struct disk *backup)
{
    struct luks_store to = store_of(disk);
    struct luks_header *old = load(disk), *new = load(backup);
    struct luks_restore *plan = NULL;
    int result;

    disk->count = disk->calls = 0;
    EXPECT(luks_restore_plan(&plan, new, disk_read, backup, old, &to, &err) == 0);
    EXPECT(luks_restore_risk(plan) == NULL);
    result = luks_restore_run(plan, &to, &ended, &err);
    luks_restore_free(plan);
    luks_free(old);
    luks_free(new);
    return result;
}

/* `backup` holds what a backup does, at the same places. */
static struct outcome restore(struct disk *disk, struct disk *backup, const char *witnesses)
{
    struct luks_store to = store_of(disk);
    struct luks_header *old = NULL, *new = load(backup);
    struct luks_restore *plan = NULL;
    uint8_t *start = copy_of(disk);
    struct outcome outcome;

    if (luks_load(&old, disk_read, disk, IMAGE_BYTES, IMAGE_BYTES, false, &err) < 0)
        old = NULL;
    disk->count = 0;
    EXPECT(luks_restore_plan(&plan, new, disk_read, backup, old, &to, &err) == 0);
    EXPECT(disk->count == 0);
    outcome.risk = luks_restore_risk(plan);
    EXPECT(luks_restore_run(plan, &to, &(enum luks_outcome){ 0 }, &err) == 0);
    luks_restore_free(plan);
    luks_free(old);
    luks_free(new);
    if (witnesses)
        outcome.flushes = lose_power(start, disk, witnesses);
    free(start);
    return outcome;
}

static struct disk copy_disk(const struct disk *disk)
{
    return (struct disk){ .bytes = copy_of(disk) };
}

/* The header with its keyslots, and nothing else. */
static void expect_restored(const struct disk *disk, const struct disk *backup, enum luks_type type)
{
    size_t gap_bytes = type == LUKS_TYPE_1 ? 4096 : 0;
    size_t end_bytes = type == LUKS_TYPE_1 ? 2 * MIB : AREA_BYTES;

    EXPECT(memcmp(disk->bytes, backup->bytes, 592) == 0);
    EXPECT(memcmp(disk->bytes + gap_bytes, backup->bytes + gap_bytes, end_bytes - gap_bytes) == 0);
}

/* The keyslots of the backup are free, or hold what the backup has there. */
static void nothing_in_the_way(enum luks_type type)
{
    struct disk disk = make_disk(type), backup = copy_disk(&disk);
    struct outcome outcome;

    add(&disk, "first", "later", 1);
    outcome = restore(&disk, &backup, "first");
    EXPECT(outcome.risk == NULL);
    expect_restored(&disk, &backup, type);
    EXPECT(!disk_opens(&disk, "later"));

    add(&disk, "first", "later", 1);
    drop(&disk, 0);
    outcome = restore(&disk, &backup, "first|later");
    EXPECT(outcome.risk == NULL);
    expect_restored(&disk, &backup, type);
    free_disk(&disk);
    free_disk(&backup);
}

/* In the place of each key of the backup there is another one now. */
static void other_keys_in_its_place(enum luks_type type)
{
    struct disk disk = make_disk(type), backup;
    struct outcome outcome;

    add(&disk, "first", "second", 1);
    backup = copy_disk(&disk);
    add(&disk, "first", "later", 2);
    drop(&disk, 0);
    drop(&disk, 1);
    fill(&disk, "later", "later", 0, 2);
    outcome = restore(&disk, &backup, "first|later");
    EXPECT(outcome.risk == NULL);
    EXPECT(outcome.flushes == 16); /* room for 4 keys, the header, the area; 2 keys and the header,
                                    * twice; the whole area */
    expect_restored(&disk, &backup, type);
    EXPECT(disk_opens(&disk, "first") && disk_opens(&disk, "second"));
    EXPECT(!disk_opens(&disk, "later"));
    free_disk(&disk);
    free_disk(&backup);
}

/* ---- storage that fails ---- */

/* Keys of before and of the backup need each other's places: there is a detour. */
static void make_detour_needed(struct disk *disk, struct disk *backup, enum luks_type type)
{
    *disk = make_disk(type);
    *backup = copy_disk(disk);
    add(disk, "first", "later", 1);
    drop(disk, 0);
    fill(disk, "later", "later", 0, 1);
}

static void expect_sound(struct disk *disk, const uint8_t *start, bool stays_broken)
{
    switch (ended) {
    case LUKS_OUTCOME_UNTOUCHED:
        EXPECT(false && "nothing was written");
        break;
    case LUKS_OUTCOME_BEFORE:
        EXPECT(disk_opens(disk, "later"));
        EXPECT(stays_broken || memcmp(disk->bytes, start, IMAGE_BYTES) == 0);
        break;
    case LUKS_OUTCOME_AFTER:
        EXPECT(disk_opens(disk, "first") && !disk_opens(disk, "later"));
        break;
    case LUKS_OUTCOME_UNKNOWN:
        EXPECT(stays_broken);
        EXPECT(disk_opens(disk, "first") || disk_opens(disk, "later"));
        break;
    }
}

static void fail_each(enum luks_type type, int code, bool stays_broken)
{
    struct disk disk, backup;
    uint8_t *start;
    size_t area_calls, area_at, at = 0;
    int result;

    make_detour_needed(&disk, &backup, type);
    start = copy_of(&disk);
    EXPECT(try_restore(&disk, &backup) == 0);
    area_calls = (type == LUKS_TYPE_1 ? 2u : 16u) * MIB / LUKS_CHUNK_BYTES;
    area_at = disk.calls - area_calls;
    do {
        memcpy(disk.bytes, start, IMAGE_BYTES);
        disk.fail_at = ++at;
        disk.fail_code = code;
        disk.stays_broken = stays_broken;
        result = try_restore(&disk, &backup);
        disk.fail_at = 0;
        EXPECT(result == 0 || result == code);
        if (result < 0)
            expect_sound(&disk, start, stays_broken);
        /* One piece of the area is like the other, where room is made and in the end. */
        if (at > area_at || (at > 25 && at < 25 + area_calls - 30))
            at += 15;
        at += LUKS_DISK_SAMPLE - 1;
    } while (result < 0);
    EXPECT(at > area_at && area_at > 30);
    expect_restored(&disk, &backup, type);
    free(start);
    free_disk(&disk);
    free_disk(&backup);
}

static void each_call_fails(void)
{
    for (enum luks_type type = LUKS_TYPE_1; type <= LUKS_TYPE_2; type++) {
        fail_each(type, -EIO, false);
        fail_each(type, -ENOSPC, true);
    }
}

static void luks1_restore(void)
{
    nothing_in_the_way(LUKS_TYPE_1);
    other_keys_in_its_place(LUKS_TYPE_1);
}

static void luks2_restore(void)
{
    nothing_in_the_way(LUKS_TYPE_2);
    other_keys_in_its_place(LUKS_TYPE_2);
}

/* Eight keyslots are all that there are; what can't be safe is done all the same, and can be
 * repeated. */
static void luks1_without_room(void)
{
    struct disk disk = make_disk(LUKS_TYPE_1), backup = copy_disk(&disk);
    struct outcome outcome;

    add(&disk, "first", "later", 1);
    drop(&disk, 0);
    fill(&disk, "later", "later", 2, 8);
    fill(&disk, "later", "later", 0, 1);
    outcome = restore(&disk, &backup, NULL);
    EXPECT_TEXT(outcome.risk,
                "there is no room in it for the old and the new keys at the same time");
    expect_restored(&disk, &backup, LUKS_TYPE_1);
    EXPECT(disk_opens(&disk, "first"));
    free_disk(&disk);
    free_disk(&backup);
}

/* The header's second sector holds keyslot 7 and part of 6: a key that is there alone may be there
 * for a moment with the first sector of another header. */
static void luks1_second_sector(void)
{
    struct disk disk = make_disk(LUKS_TYPE_1), backup, both;
    struct outcome outcome;

    add(&disk, "first", "seventh", 6);
    both = copy_disk(&disk);
    drop(&disk, 0);
    backup = copy_disk(&disk); /* 6 alone */
    outcome = restore(&disk, &both, "first|seventh");
    EXPECT(outcome.risk == NULL);
    outcome = restore(&disk, &backup, "first|seventh");
    EXPECT(outcome.risk == NULL);

    add(&disk, "seventh", "eighth", 7);
    drop(&disk, 6);
    outcome = restore(&disk, &both, "first|seventh|eighth");
    EXPECT(outcome.risk == NULL);
    add(&disk, "first", "eighth", 7);
    drop(&disk, 6);
    drop(&disk, 0);
    outcome = restore(&disk, &backup, NULL); /* 7 alone, then 6 alone */
    EXPECT_TEXT(outcome.risk, "the headers are laid out differently");
    EXPECT(disk_opens(&disk, "seventh"));
    free_disk(&disk);
    free_disk(&backup);
    free_disk(&both);
}

/* A primary copy that is damaged or older is written first: the other one is all there is. */
static void luks2_bad_copies(void)
{
    struct disk good = make_disk(LUKS_TYPE_2), backup = copy_disk(&good);

    add(&good, "first", "later", 1);
    drop(&good, 0);
    fill(&good, "later", "later", 0, 1);
    for (int older = 0; older < 2; older++) {
        struct disk disk = copy_disk(&good);
        struct outcome outcome;

        if (older)
            memcpy(disk.bytes, backup.bytes, COPY_BYTES);
        else
            disk.bytes[5000] ^= 0xff;
        outcome = restore(&disk, &backup, "first|later");
        EXPECT(outcome.risk == NULL);
        expect_restored(&disk, &backup, LUKS_TYPE_2);
        free_disk(&disk);
    }
    free_disk(&good);
    free_disk(&backup);
}

/* Repeating it after an interruption, wherever that was, ends in the same header. */
static void repeated(void)
{
    for (enum luks_type type = LUKS_TYPE_1; type <= LUKS_TYPE_2; type++) {
        struct disk disk = make_disk(type), backup = copy_disk(&disk), start;
        size_t count;

        add(&disk, "first", "later", 1);
        drop(&disk, 0);
        fill(&disk, "later", "later", 0, 1);
        start = copy_disk(&disk);
        (void)restore(&disk, &backup, NULL);
        count = disk.count;
        for (size_t cut = 1; cut < count; cut += count / 7) {
            struct disk again = copy_disk(&start);
            struct outcome outcome;

            for (size_t i = 0; i < cut; i++)
                memcpy(again.bytes + disk.log[i].offset_bytes, disk.log[i].data,
                       disk.log[i].length_bytes);
            outcome = restore(&again, &backup, NULL);
            EXPECT(!outcome.risk);
            expect_restored(&again, &backup, type);
            free_disk(&again);
        }
        free_disk(&disk);
        free_disk(&start);
        free_disk(&backup);
    }
}

/* Nothing is there that could be lost. */
static void nothing_to_lose(void)
{
    for (enum luks_type type = LUKS_TYPE_1; type <= LUKS_TYPE_2; type++) {
        struct disk backup = make_disk(type);
        struct disk disk = { .bytes = calloc(1, IMAGE_BYTES) };
        struct outcome outcome = restore(&disk, &backup, NULL);

        EXPECT(!outcome.risk);
        expect_restored(&disk, &backup, type);
        free_disk(&disk);
        free_disk(&backup);
    }
}

/* The volume has become one of the other version since. */
static void other_version(void)
{
    struct disk backup = make_disk(LUKS_TYPE_1), disk = make_disk(LUKS_TYPE_2);
    struct outcome outcome = restore(&disk, &backup, NULL);

    EXPECT_TEXT(outcome.risk, "the headers are laid out differently");
    EXPECT(disk_opens(&disk, "first"));
    free_disk(&disk);
    free_disk(&backup);
}

static const struct check checks[] = {
    { "LUKS1: keys survive power loss during a restore", luks1_restore },
    { "LUKS1: also where the header touches its second sector", luks1_second_sector },
    { "LUKS1: where there is no room for that, it is said before", luks1_without_room },
    { "LUKS2: keys survive power loss during a restore", luks2_restore },
    { "LUKS2: also when a copy is damaged or older than the other", luks2_bad_copies },
    { "a restore that was interrupted is repeated", repeated },
    { "whichever write or flush fails, the header is restored or it is not", each_call_fails },
    { "where there is no header nothing can be lost", nothing_to_lose },
    { "where there is one of the other version, it is said before", other_version },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
