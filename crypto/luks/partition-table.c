/* Partitions: see partition-table.h. */
#include "crypto/luks/partition-table.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <blkid.h>

#include "crypto/luks/cryptsetup-library.h"

/* The table and what lies near it; a GPT has its second copy at the end. */
#define HEAD_BYTES (256u * 1024u)
#define TAIL_BYTES (256u * 1024u)

#define UNIT_BYTES 512u /* libblkid counts in them, whatever the sectors of the disk */
#define EXTENDED_RECORDS_MAX 256u

struct source {
    luks_read_fn *read;
    void *context;
    uint64_t size_bytes;
    int image_fd; /* the copy */
};

/* ---- libblkid ---- */

static void take_partition(struct partition_table *out, blkid_partition partition)
{
    blkid_loff_t start = blkid_partition_get_start(partition);
    blkid_loff_t size = blkid_partition_get_size(partition);
    struct partition *taken = &out->partitions[out->count];

    if (out->count == PARTITIONS_MAX || start < 0 || size <= 0 ||
        blkid_partition_get_partno(partition) < 1)
        return;
    taken->number = (unsigned)blkid_partition_get_partno(partition);
    taken->extended = blkid_partition_is_extended(partition);
    if (__builtin_mul_overflow((uint64_t)start, UNIT_BYTES, &taken->start_bytes) ||
        __builtin_mul_overflow((uint64_t)size, UNIT_BYTES, &taken->size_bytes))
        return;
    out->count++;
}

static void take_list(struct partition_table *out, blkid_partlist list)
{
    int count = blkid_partlist_numof_partitions(list);
    blkid_parttable table = blkid_partlist_get_table(list);
    const char *type = table ? blkid_parttable_get_type(table) : NULL;

    (void)snprintf(out->type, sizeof out->type, "%s", type != NULL ? type : "?");
    for (int i = 0; i < count; i++)
        take_partition(out, blkid_partlist_get_partition(list, i));
}

/* What the copy holds, if the disk has sectors of this size; out->type is "" when that is no
 * table. */
static int probe(struct partition_table *out, int image_fd, unsigned sector_bytes,
                 struct error *err)
{
    blkid_probe probe;
    int result = 0;

    *out = (struct partition_table){ .type = "" };
    cryptsetup_library_lock(); /* libcryptsetup may use libblkid, too */
    probe = blkid_new_probe();
    if (!probe) {
        result = error_no_memory(err, "to look for partitions");
    } else if (blkid_probe_set_device(probe, image_fd, 0, 0) != 0 ||
               blkid_probe_set_sectorsize(probe, sector_bytes) != 0 ||
               blkid_probe_enable_superblocks(probe, 0) != 0 ||
               blkid_probe_enable_partitions(probe, 1) != 0) {
        result = error_set(err, -EIO, "libblkid can't look for partitions");
    } else {
        blkid_partlist list = blkid_probe_get_partitions(probe);

        if (list)
            take_list(out, list);
    }
    if (probe)
        blkid_free_probe(probe);
    cryptsetup_library_unlock();
    return result;
}

/* ---- the copy ---- */

/* As much of the range as there is. */
static int copy(const struct source *source, uint64_t offset_bytes, uint64_t length_bytes,
                struct error *err)
{
    if (offset_bytes >= source->size_bytes)
        return 0;
    if (length_bytes > source->size_bytes - offset_bytes)
        length_bytes = source->size_bytes - offset_bytes;
    return cryptsetup_image_copy(source->image_fd, offset_bytes, length_bytes, source->read,
                                 source->context, err);
}

static const struct partition *find_extended(const struct partition_table *table)
{
    for (unsigned i = 0; i < table->count; i++)
        if (table->partitions[i].extended)
            return &table->partitions[i];
    return NULL;
}

/* A record of an extended partition looks like an MBR: a logical partition, and an "extended" one,
 * which is where the next record is, counted from the start of the extended partition.  So
 * libblkid, which is to parse all of them from the copy, is asked first where they are, one by
 * one. */
static int copy_records(const struct source *source, uint64_t first_bytes, int scratch_fd,
                        struct error *err)
{
    uint64_t at = first_bytes;
    int result = 0;

    for (unsigned i = 0; i < EXTENDED_RECORDS_MAX && result == 0; i++) {
        uint8_t record[UNIT_BYTES];
        struct partition_table table;
        const struct partition *next;

        if (at > source->size_bytes || source->size_bytes - at < sizeof record)
            return 0;
        result = source->read(source->context, at, record, sizeof record, err);
        if (result == 0)
            result = cryptsetup_image_write(source->image_fd, at, record, sizeof record, err);
        if (result == 0)
            result = cryptsetup_image_write(scratch_fd, 0, record, sizeof record, err);
        if (result == 0)
            result = probe(&table, scratch_fd, UNIT_BYTES, err);
        next = result == 0 ? find_extended(&table) : NULL;
        if (next == NULL || __builtin_add_overflow(first_bytes, next->start_bytes, &at))
            return result;
    }
    return result;
}

static int copy_logical(const struct source *source, const struct partition_table *primary,
                        struct error *err)
{
    const struct partition *extended = find_extended(primary);
    int scratch_fd = -1, result;

    if (extended == NULL)
        return 0;
    result = cryptsetup_image_create(&scratch_fd, source->size_bytes, UNIT_BYTES, err);
    if (result == 0)
        result = copy_records(source, extended->start_bytes, scratch_fd, err);
    if (scratch_fd >= 0)
        (void)close(scratch_fd);
    return result;
}

/* ---- both ---- */

static int look(struct partition_table *out, const struct source *source, struct error *err)
{
    uint64_t size_bytes = source->size_bytes;
    int result = copy(source, 0, HEAD_BYTES, err);

    if (result == 0 && size_bytes > TAIL_BYTES)
        result = copy(source, size_bytes - TAIL_BYTES, TAIL_BYTES, err);
    if (result == 0)
        result = probe(out, source->image_fd, UNIT_BYTES, err);
    if (result == 0 && out->type[0] == '\0') /* a GPT of a disk with larger sectors */
        return probe(out, source->image_fd, 4096, err);
    if (result == 0)
        result = copy_logical(source, out, err);
    return result == 0 ? probe(out, source->image_fd, UNIT_BYTES, err) : result;
}

int partition_table_read(struct partition_table *out, luks_read_fn *read, void *context,
                         uint64_t size_bytes, struct error *err)
{
    struct source source = {
        .read = read, .context = context, .size_bytes = size_bytes, .image_fd = -1
    };
    int result = cryptsetup_image_create(&source.image_fd, size_bytes, size_bytes, err);

    *out = (struct partition_table){ .type = "" };
    if (result == 0)
        result = look(out, &source, err);
    if (source.image_fd >= 0)
        (void)close(source.image_fd);
    return result;
}
