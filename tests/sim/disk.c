#include "tests/sim/disk.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/sim/random.h"
#include "tests/sim/trace.h"

#define DISKS_MAX 16u
#define BLOCK_BYTES 4096u            /* holes are made of these */
#define DENSE_BYTES_MAX (128u << 20) /* of a larger disk the most is never touched */

/* A sector as it was after one write that is not on the disk for sure; the latest first. */
struct version {
    struct version *older;
    uint64_t position;
    uint8_t data[DISK_SECTOR_BYTES];
};

struct disk {
    const char *name;
    unsigned number;
    uint64_t size_bytes;
    uint8_t *now, *durable;
    struct version **versions; /* one for each sector; NULL: it is clean */
    uint64_t *dirty;           /* sectors that have versions */
    size_t dirty_count, dirty_room;
    uint8_t *has_data; /* of each block: it is no hole */
    uint8_t *touched;  /* of each block: it was written, or made zeros */
    uint64_t position, errors, syncs_failed;
    uint32_t unit_bytes;
    uint64_t forbidden;
    struct disk_faults faults;
};

static struct disk disks[DISKS_MAX];
static unsigned disk_count;
static struct version *spare;

static void *map(uint64_t bytes)
{
    void *out = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (out == MAP_FAILED)
        sim_fail("no memory for a disk");
    return out;
}

struct disk *disk_create(const char *name, uint64_t size_bytes)
{
    struct disk *disk = &disks[disk_count];

    if (disk_count == DISKS_MAX)
        sim_fail("too many disks");
    *disk = (struct disk){ .name = name,
                           .number = disk_count++,
                           .size_bytes = size_bytes,
                           .unit_bytes = DISK_SECTOR_BYTES };
    disk->now = map(size_bytes);
    disk->durable = map(size_bytes);
    disk->versions = map((size_bytes / DISK_SECTOR_BYTES + 1) * sizeof(*disk->versions));
    disk->has_data = map(size_bytes / BLOCK_BYTES + 1);
    disk->touched = map(size_bytes / BLOCK_BYTES + 1);
    return disk;
}

struct disk *disk_find(const char *name)
{
    for (unsigned i = 0; i < disk_count; i++)
        if (strcmp(disks[i].name, name) == 0)
            return &disks[i];
    return NULL;
}

uint64_t disk_size(const struct disk *disk)
{
    return disk->size_bytes;
}

unsigned disk_number(const struct disk *disk)
{
    return disk->number;
}

struct disk_faults *disk_faults(struct disk *disk)
{
    return &disk->faults;
}

uint64_t disk_error_count(const struct disk *disk)
{
    return disk->errors;
}

void disk_count_error(struct disk *disk)
{
    disk->errors++;
}

void disk_set_unit(struct disk *disk, uint32_t unit_bytes)
{
    disk->unit_bytes = unit_bytes;
}

void disk_forbid(struct disk *disk, uint64_t word)
{
    disk->forbidden = word;
}

uint64_t disk_position(const struct disk *disk)
{
    return disk->position;
}

void disk_read(const struct disk *disk, uint64_t offset_bytes, void *out, size_t length_bytes)
{
    memcpy(out, disk->now + offset_bytes, length_bytes);
}

/* ---- versions ---- */

static void free_versions(struct version *version)
{
    while (version != NULL) {
        struct version *older = version->older;

        version->older = spare;
        spare = version;
        version = older;
    }
}

static uint64_t sector_bytes_at(const struct disk *disk, uint64_t sector)
{
    uint64_t left = disk->size_bytes - sector * DISK_SECTOR_BYTES;

    return left < DISK_SECTOR_BYTES ? left : DISK_SECTOR_BYTES;
}

static void remember(struct disk *disk, uint64_t sector)
{
    struct version *version = spare;

    if (version != NULL)
        spare = version->older;
    else
        version = malloc(sizeof(*version));
    if (version == NULL)
        sim_fail("no memory");
    version->older = disk->versions[sector];
    version->position = disk->position;
    memcpy(version->data, disk->now + sector * DISK_SECTOR_BYTES, sector_bytes_at(disk, sector));
    if (disk->versions[sector] == NULL) {
        if (disk->dirty_count == disk->dirty_room) {
            disk->dirty_room = disk->dirty_room > 0 ? 2 * disk->dirty_room : 1024;
            disk->dirty = realloc(disk->dirty, disk->dirty_room * sizeof(*disk->dirty));
            if (disk->dirty == NULL)
                sim_fail("no memory");
        }
        disk->dirty[disk->dirty_count++] = sector;
    }
    disk->versions[sector] = version;
}

static void look_for_plaintext(const struct disk *disk, uint64_t start_bytes, uint64_t end_bytes)
{
    for (uint64_t at = (start_bytes + 63) / 64 * 64; at + 8 <= end_bytes; at += 64)
        if (memcmp(disk->now + at, &disk->forbidden, 8) == 0)
            sim_fail("plaintext of a client is at byte %llu of disk %u", (unsigned long long)at,
                     disk->number);
}

/* At the present position. */
static void note_change(struct disk *disk, uint64_t offset_bytes, uint64_t length_bytes)
{
    uint64_t end_bytes = offset_bytes + length_bytes;

    for (uint64_t block = offset_bytes / BLOCK_BYTES; block * BLOCK_BYTES < end_bytes; block++)
        disk->touched[block] = 1;
    for (uint64_t sector = offset_bytes / DISK_SECTOR_BYTES; sector * DISK_SECTOR_BYTES < end_bytes;
         sector++)
        remember(disk, sector);
    if (disk->forbidden != 0)
        look_for_plaintext(disk, offset_bytes, end_bytes);
}

static void changed(struct disk *disk, uint64_t offset_bytes, uint64_t length_bytes)
{
    disk->position++;
    note_change(disk, offset_bytes, length_bytes);
}

void disk_write(struct disk *disk, uint64_t offset_bytes, const void *data, size_t length_bytes)
{
    uint64_t end_bytes = offset_bytes + length_bytes;

    if (length_bytes == 0)
        return;
    if (end_bytes > disk->size_bytes)
        sim_fail("a write ends at byte %llu of a disk of %llu", (unsigned long long)end_bytes,
                 (unsigned long long)disk->size_bytes);
    memcpy(disk->now + offset_bytes, data, length_bytes);
    for (uint64_t block = offset_bytes / BLOCK_BYTES; block * BLOCK_BYTES < end_bytes; block++)
        disk->has_data[block] = 1;
    changed(disk, offset_bytes, length_bytes);
}

void disk_show(struct disk *disk, uint64_t offset_bytes, const void *data, size_t length_bytes)
{
    memcpy(disk->now + offset_bytes, data, length_bytes);
}

/* From this one on the next block that was touched; or the end of all. */
static uint64_t next_touched(const struct disk *disk, uint64_t block)
{
    uint64_t end = (disk->size_bytes + BLOCK_BYTES - 1) / BLOCK_BYTES;
    const uint8_t *found = block < end ? memchr(disk->touched + block, 1, end - block) : NULL;

    return found != NULL ? (uint64_t)(found - disk->touched) : end;
}

/* What was never touched is zeros already. */
static void zero_desert(struct disk *disk, uint64_t offset_bytes, uint64_t end_bytes, bool hole)
{
    uint64_t block = next_touched(disk, offset_bytes / BLOCK_BYTES);

    disk->position++;
    for (; block * BLOCK_BYTES < end_bytes; block = next_touched(disk, block + 1)) {
        uint64_t at = block * BLOCK_BYTES, next = at + BLOCK_BYTES;

        at = at < offset_bytes ? offset_bytes : at;
        next = next < end_bytes ? next : end_bytes;
        memset(disk->now + at, 0, next - at);
        if (hole && next - at == BLOCK_BYTES)
            disk->has_data[block] = 0;
        note_change(disk, at, next - at);
    }
}

void disk_zero(struct disk *disk, uint64_t offset_bytes, uint64_t length_bytes, bool hole)
{
    uint64_t end_bytes = offset_bytes + length_bytes;

    if (end_bytes > disk->size_bytes)
        sim_fail("zeroes end at byte %llu of a disk of %llu", (unsigned long long)end_bytes,
                 (unsigned long long)disk->size_bytes);
    if (disk->size_bytes > DENSE_BYTES_MAX) {
        zero_desert(disk, offset_bytes, end_bytes, hole);
        return;
    }
    memset(disk->now + offset_bytes, 0, length_bytes);
    for (uint64_t block = (offset_bytes + BLOCK_BYTES - 1) / BLOCK_BYTES;
         hole && (block + 1) * BLOCK_BYTES <= end_bytes; block++)
        disk->has_data[block] = 0;
    changed(disk, offset_bytes, length_bytes);
}

int64_t disk_seek(const struct disk *disk, uint64_t offset_bytes, bool data)
{
    uint64_t at = offset_bytes;

    if (at >= disk->size_bytes)
        return -1;
    const uint8_t *from = disk->has_data + at / BLOCK_BYTES;
    uint64_t count = (disk->size_bytes - 1) / BLOCK_BYTES + 1 - at / BLOCK_BYTES;
    const uint8_t *found = memchr(from, data, count);
    if (found == NULL)
        return data ? -1 : (int64_t)disk->size_bytes;
    return found == from ? (int64_t)at : (found - disk->has_data) * (int64_t)BLOCK_BYTES;
}

/* ---- syncs and cuts ---- */

/* What the sector was at that position is on the disk; newer ones may be. */
static void sync_sector(struct disk *disk, uint64_t sector, uint64_t position)
{
    struct version **link = &disk->versions[sector];

    while (*link != NULL && (*link)->position > position)
        link = &(*link)->older;
    if (*link == NULL)
        return;
    memcpy(disk->durable + sector * DISK_SECTOR_BYTES, (*link)->data,
           sector_bytes_at(disk, sector));
    free_versions(*link);
    *link = NULL;
}

static void forget_clean(struct disk *disk)
{
    size_t kept = 0;

    for (size_t i = 0; i < disk->dirty_count; i++)
        if (disk->versions[disk->dirty[i]] != NULL)
            disk->dirty[kept++] = disk->dirty[i];
    disk->dirty_count = kept;
}

void disk_sync(struct disk *disk, uint64_t offset_bytes, uint64_t length_bytes, uint64_t position)
{
    uint64_t first = offset_bytes / DISK_SECTOR_BYTES;
    uint64_t end = (offset_bytes + length_bytes + DISK_SECTOR_BYTES - 1) / DISK_SECTOR_BYTES;

    for (size_t i = 0; i < disk->dirty_count; i++)
        if (length_bytes == 0 || (disk->dirty[i] >= first && disk->dirty[i] < end))
            sync_sector(disk, disk->dirty[i], position);
    forget_clean(disk);
}

/* Sectors that the disk writes at once, or not at all. */
struct unit {
    uint64_t first, end;
};

static struct unit unit_of(const struct disk *disk, uint64_t sector)
{
    uint64_t sectors = (disk->size_bytes + DISK_SECTOR_BYTES - 1) / DISK_SECTOR_BYTES;
    uint64_t each = disk->unit_bytes / DISK_SECTOR_BYTES, first = sector / each * each;

    return (struct unit){ first, first + each < sectors ? first + each : sectors };
}

/* They count as clean, and are not on the disk. */
static void lose(struct disk *disk, struct unit unit, uint64_t position)
{
    for (uint64_t sector = unit.first; sector < unit.end; sector++) {
        struct version **link = &disk->versions[sector];

        while (*link != NULL && (*link)->position > position)
            link = &(*link)->older;
        if (*link != NULL)
            mark(MARK_sync_lost_data);
        free_versions(*link);
        *link = NULL;
    }
}

uint64_t disk_syncs_failed(const struct disk *disk)
{
    return disk->syncs_failed;
}

void disk_sync_failed(struct disk *disk, uint64_t position)
{
    uint64_t last = UINT64_MAX;

    disk->errors++;
    disk->syncs_failed++;
    for (size_t i = 0; i < disk->dirty_count; i++) {
        struct unit unit = unit_of(disk, disk->dirty[i]);

        if (unit.first == last)
            continue;
        last = unit.first;
        if (random_chance(STREAM_DISK, 500))
            lose(disk, unit, position);
        else
            for (uint64_t sector = unit.first; sector < unit.end; sector++)
                sync_sector(disk, sector, position);
    }
    forget_clean(disk);
}

/* What it was after one of its writes, or before all of them. */
static void settle_unit(struct disk *disk, struct unit unit)
{
    uint64_t chosen = 0;
    unsigned count = 1;

    for (uint64_t sector = unit.first; sector < unit.end; sector++)
        for (const struct version *version = disk->versions[sector]; version;
             version = version->older)
            if (random_below(STREAM_DISK, ++count) == 0)
                chosen = version->position;
    for (uint64_t sector = unit.first; sector < unit.end; sector++) {
        if (disk->versions[sector] == NULL)
            continue;
        mark(disk->versions[sector]->position <= chosen ? MARK_power_cut_kept_sector
                                                        : MARK_power_cut_lost_sector);
        sync_sector(disk, sector, chosen);
        free_versions(disk->versions[sector]);
        disk->versions[sector] = NULL;
    }
}

static bool is_zero(const uint8_t *data, uint64_t bytes)
{
    for (uint64_t i = 0; i < bytes; i++)
        if (data[i] != 0)
            return false;
    return true;
}

/* The cache is gone, and with it what a failed sync has left only there.  A hole that was not
 * durable is one no more. */
void disk_power_cut(struct disk *disk)
{
    for (size_t i = 0; i < disk->dirty_count; i++)
        settle_unit(disk, unit_of(disk, disk->dirty[i]));
    disk->dirty_count = 0;
    for (uint64_t block = next_touched(disk, 0); block * BLOCK_BYTES < disk->size_bytes;
         block = next_touched(disk, block + 1)) {
        uint64_t at = block * BLOCK_BYTES, left = disk->size_bytes - at;
        uint64_t bytes = left < BLOCK_BYTES ? left : BLOCK_BYTES;

        memcpy(disk->now + at, disk->durable + at, bytes);
        if (!is_zero(disk->now + at, bytes))
            disk->has_data[block] = 1;
    }
}

void disk_settle(struct disk *disk)
{
    disk_sync(disk, 0, 0, disk->position);
}

uint64_t disk_hash(const struct disk *disk)
{
    uint64_t hash = 0;

    for (uint64_t at = 0; at + 8 <= disk->size_bytes; at += 8) {
        uint64_t word;

        memcpy(&word, disk->now + at, 8);
        if (word != 0)
            hash = random_mix(hash ^ word ^ at);
    }
    return hash;
}
