/* A disk image with a page cache.  Written data is in the cache, where everybody sees it, and some
 * of it may be on the disk as well; a sync puts there what had been written when it was asked for.
 * When the power goes, each sector is left as it was at some moment since its last sync.
 *
 * A sync that fails is told once: the kernel counts what it could not write as clean, so it stays
 * in the cache, and a later sync succeeds and does not write it (fsync(2), "Handling errors"). */
#ifndef NBDCRYPT_SIM_DISK_H
#define NBDCRYPT_SIM_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DISK_SECTOR_BYTES 512u

/* How often it fails, per mille of operations; all 0: never. */
struct disk_faults {
    unsigned read_error, write_error, sync_error, no_space, no_fallocate;
    unsigned short_transfer, interrupted, slow, split;
};

struct disk;

/* Of zeros; the pages that are not written cost nothing. */
struct disk *disk_create(const char *name, uint64_t size_bytes);
struct disk *disk_find(const char *name); /* NULL: there is none */
uint64_t disk_size(const struct disk *disk);
unsigned disk_number(const struct disk *disk);
struct disk_faults *disk_faults(struct disk *disk);
/* Errors and losses so far: a client may be told of an error only when this has grown. */
uint64_t disk_error_count(const struct disk *disk);
void disk_count_error(struct disk *disk);

/* What it writes at once or not at all, at multiples of that: 512 until it is told otherwise. */
void disk_set_unit(struct disk *disk, uint32_t unit_bytes);
/* What must not be on it anywhere: 8 bytes at a multiple of 64. */
void disk_forbid(struct disk *disk, uint64_t word);

/* ---- what a file on it does ---- */

void disk_read(const struct disk *disk, uint64_t offset_bytes, void *out, size_t length_bytes);
void disk_write(struct disk *disk, uint64_t offset_bytes, const void *data, size_t length_bytes);
/* It can be read already, but no disk has it before disk_write() of all of it, which must follow.
 */
void disk_show(struct disk *disk, uint64_t offset_bytes, const void *data, size_t length_bytes);
/* Reads as zeros from then on; `hole`: and is one, in whole blocks of 4096 bytes. */
void disk_zero(struct disk *disk, uint64_t offset_bytes, uint64_t length_bytes, bool hole);
/* As lseek(2) with SEEK_DATA or SEEK_HOLE; -1: ENXIO. */
int64_t disk_seek(const struct disk *disk, uint64_t offset_bytes, bool data);

/* For disk_sync(): what is written later is not covered. */
uint64_t disk_position(const struct disk *disk);
void disk_sync(struct disk *disk, uint64_t offset_bytes, uint64_t length_bytes, uint64_t position);
/* It failed: some of it is there, and the rest counts as clean. */
uint64_t disk_syncs_failed(const struct disk *disk); /* so many so far */
void disk_sync_failed(struct disk *disk, uint64_t position);
void disk_power_cut(struct disk *disk);
/* What was written before the simulation is durable. */
void disk_settle(struct disk *disk);
/* Of all that it has, as it would be read. */
uint64_t disk_hash(const struct disk *disk);

#endif
