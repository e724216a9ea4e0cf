/* What an image has at a place of its disk.  Pure functions on entries of L1 and L2 tables, for
 * the way of each request: they allocate nothing, and a fault is a sentence without an end.
 *
 * L2 tables are read in slices of at most 4 KiB, so that a table of 2 MiB costs no more to look
 * into than a small one. */
#ifndef NBDCRYPT_QCOW2_MAP_H
#define NBDCRYPT_QCOW2_MAP_H

#include "server/qcow2/qcow2-header.h"

#define QCOW2_SLICE_BYTES_MAX 4096u
/* So much is read of a cluster that is compressed: what is longer than a cluster is not worth it,
 * and each compressor has some bytes of its own. */
#define QCOW2_COMPRESSED_MORE_BYTES 4096u

enum qcow2_kind {
    QCOW2_UNALLOCATED, /* as the backing file has it; zeros where there is none */
    QCOW2_ZERO,
    QCOW2_DATA,       /* at host_bytes */
    QCOW2_COMPRESSED, /* one cluster, or a part of it; compressed_bytes at host_bytes */
};

/* A piece of the disk that is the same throughout. */
struct qcow2_run {
    enum qcow2_kind kind;
    uint64_t length_bytes;
    uint64_t host_bytes;
    uint32_t compressed_bytes;
};

/* Of an image or one of its snapshots. */
struct qcow2_map {
    unsigned version;
    unsigned cluster_bits, l2_bits;
    unsigned slice_bits;  /* a slice has 2^slice_bits entries */
    unsigned entry_bytes; /* 8, or 16 with subclusters */
    bool encrypted;
    uint64_t file_bytes;
    uint32_t l1_entries;
};

/* For an L1 table of so many entries. */
struct qcow2_map qcow2_map_of(const struct qcow2_header *header, uint32_t l1_entries,
                              uint64_t file_bytes);

static inline uint32_t qcow2_map_cluster_bytes(const struct qcow2_map *map)
{
    return UINT32_C(1) << map->cluster_bits;
}

static inline uint32_t qcow2_map_slice_bytes(const struct qcow2_map *map)
{
    return map->entry_bytes << map->slice_bits;
}

/* Which entry of L1 says what there is at that byte of the disk? */
static inline uint64_t qcow2_map_l1_index(const struct qcow2_map *map, uint64_t at_bytes)
{
    unsigned bits = map->cluster_bits + map->l2_bits;

    return bits < 64 ? at_bytes >> bits : 0;
}

/* Up to where one entry of L1 reaches, from that byte on. */
uint64_t qcow2_map_l1_left_bytes(const struct qcow2_map *map, uint64_t at_bytes);

/* Where in the file the slice is that tells of a byte of the disk, by the entry of L1 (in the
 * machine's byte order).  0: nothing is allocated there.  NULL, or what is wrong. */
const char *qcow2_map_slice(uint64_t *slice_bytes, const struct qcow2_map *map, uint64_t l1_entry,
                            uint64_t at_bytes);

/* What there is from `at_bytes` on, by the slice that tells of that byte: up to where it ends, and
 * `length_bytes` (not 0) at most.  What lies in the file without a gap is one run, and so are
 * neighbours without data.  NULL, or what is wrong. */
const char *qcow2_map_look(struct qcow2_run *out, const struct qcow2_map *map, const uint8_t *slice,
                           uint64_t at_bytes, uint64_t length_bytes);

#endif
