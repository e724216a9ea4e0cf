#include "server/qcow2/qcow2-map.h"

#include "server/qcow2/qcow2-bytes.h"

#define OFFSET_MASK UINT64_C(0x00fffffffffffe00) /* bits 9 to 55 */
#define COMPRESSED_BIT_1 (UINT64_C(1) << 63)     /* version 1 */
#define COMPRESSED_BIT (UINT64_C(1) << 62)
#define ZERO_BIT UINT64_C(1)
#define SUBCLUSTERS 32u
#define SECTOR_BYTES 512u

struct qcow2_map qcow2_map_of(const struct qcow2_header *header, uint32_t l1_entries,
                              uint64_t file_bytes)
{
    struct qcow2_map map = {
        .version = header->version,
        .cluster_bits = header->cluster_bits,
        .l2_bits = header->l2_bits,
        .entry_bytes = header->extended_l2 ? 16 : 8,
        .encrypted = header->crypt != QCOW2_CRYPT_NONE,
        .file_bytes = file_bytes,
        .l1_entries = l1_entries,
    };

    while (map.slice_bits < map.l2_bits &&
           map.entry_bytes << (map.slice_bits + 1) <= QCOW2_SLICE_BYTES_MAX)
        map.slice_bits++;
    return map;
}

/* From there on to the next multiple of 2^bits. */
static uint64_t left_of(uint64_t at_bytes, unsigned bits)
{
    uint64_t size = UINT64_C(1) << bits;

    return size - (at_bytes & (size - 1));
}

uint64_t qcow2_map_l1_left_bytes(const struct qcow2_map *map, uint64_t at_bytes)
{
    unsigned bits = map->cluster_bits + map->l2_bits;

    return left_of(at_bytes, bits < 63 ? bits : 63);
}

const char *qcow2_map_slice(uint64_t *slice_bytes, const struct qcow2_map *map, uint64_t l1_entry,
                            uint64_t at_bytes)
{
    uint64_t table = map->version == 1 ? l1_entry : l1_entry & OFFSET_MASK;
    uint64_t table_bytes = (uint64_t)map->entry_bytes << map->l2_bits;
    uint64_t cluster = at_bytes >> map->cluster_bits;
    uint64_t index = (cluster & ((UINT64_C(1) << map->l2_bits) - 1)) >> map->slice_bits;

    *slice_bytes = 0;
    if (table == 0)
        return NULL;
    if ((table & (qcow2_map_cluster_bytes(map) - 1)) != 0)
        return "an entry of L1 names no start of a cluster";
    if (table > map->file_bytes || table_bytes > map->file_bytes - table)
        return "an L2 table reaches over the end of the file";
    *slice_bytes = table + index * qcow2_map_slice_bytes(map);
    return NULL;
}

/* ---- one entry of L2 ---- */

static const char *data_at(struct qcow2_run *run, const struct qcow2_map *map, uint64_t host_bytes,
                           uint64_t in_cluster)
{
    if ((host_bytes & (qcow2_map_cluster_bytes(map) - 1)) != 0)
        return "an entry of L2 names no start of a cluster";
    if (host_bytes >= map->file_bytes)
        return "an entry of L2 names a cluster behind the end of the file";
    run->kind = QCOW2_DATA;
    run->host_bytes = host_bytes + in_cluster;
    return NULL;
}

static const char *compressed_at(struct qcow2_run *run, const struct qcow2_map *map,
                                 uint64_t host_bytes, uint64_t compressed_bytes)
{
    uint32_t most = qcow2_map_cluster_bytes(map) + QCOW2_COMPRESSED_MORE_BYTES;

    if (map->encrypted)
        return "a cluster is compressed, which none is that is encrypted";
    if (host_bytes == 0 || host_bytes >= map->file_bytes)
        return "an entry of L2 names compressed data that does not lie in the file";
    if (compressed_bytes == 0)
        return "an entry of L2 names compressed data of no length";
    if (compressed_bytes > map->file_bytes - host_bytes) /* whole sectors, which the end may cut */
        compressed_bytes = map->file_bytes - host_bytes;
    run->kind = QCOW2_COMPRESSED;
    run->host_bytes = host_bytes;
    run->compressed_bytes = compressed_bytes < most ? (uint32_t)compressed_bytes : most;
    return NULL;
}

static const char *look_1(struct qcow2_run *run, const struct qcow2_map *map, uint64_t entry,
                          uint64_t in_cluster)
{
    unsigned bits = 63 - map->cluster_bits;

    if (entry & COMPRESSED_BIT_1)
        return compressed_at(run, map, entry & ((UINT64_C(1) << bits) - 1),
                             entry >> bits & (qcow2_map_cluster_bytes(map) - 1));
    if (entry == 0)
        run->kind = QCOW2_UNALLOCATED;
    return entry == 0 ? NULL : data_at(run, map, entry, in_cluster);
}

static const char *compressed_2(struct qcow2_run *run, const struct qcow2_map *map, uint64_t entry)
{
    unsigned bits = 62 - (map->cluster_bits - 8);
    uint64_t host_bytes = entry & ((UINT64_C(1) << bits) - 1);
    uint64_t sectors = (entry >> bits & ((UINT64_C(1) << (map->cluster_bits - 8)) - 1)) + 1;

    return compressed_at(run, map, host_bytes, sectors * SECTOR_BYTES - host_bytes % SECTOR_BYTES);
}

static const char *look_2(struct qcow2_run *run, const struct qcow2_map *map, uint64_t entry,
                          uint64_t in_cluster)
{
    uint64_t host_bytes = entry & OFFSET_MASK;

    if (entry & COMPRESSED_BIT)
        return compressed_2(run, map, entry);
    if (entry & ZERO_BIT) { /* whatever else it says */
        if (map->version < 3)
            return "a cluster is marked as zeros, which came with version 3";
        run->kind = QCOW2_ZERO;
        return NULL;
    }
    if (host_bytes == 0)
        run->kind = QCOW2_UNALLOCATED;
    return host_bytes == 0 ? NULL : data_at(run, map, host_bytes, in_cluster);
}

/* A word of 32 bits "is allocated", above it one "reads as zeros". */
static const char *look_extended(struct qcow2_run *run, const struct qcow2_map *map, uint64_t entry,
                                 uint64_t bitmap, uint64_t in_cluster)
{
    unsigned bits = map->cluster_bits - 5;
    uint32_t allocated = (uint32_t)bitmap, zero = (uint32_t)(bitmap >> 32);
    uint32_t mask = UINT32_C(1) << (in_cluster >> bits);
    uint64_t host_bytes = entry & OFFSET_MASK;

    if (entry & COMPRESSED_BIT)
        return compressed_2(run, map, entry);
    if ((allocated & zero) != 0)
        return "a subcluster is both allocated and zeros";
    if (host_bytes == 0 && allocated != 0)
        return "a subcluster is allocated in no cluster";
    run->length_bytes = left_of(in_cluster, bits);
    run->kind = zero & mask ? QCOW2_ZERO : QCOW2_UNALLOCATED;
    return allocated & mask ? data_at(run, map, host_bytes, in_cluster) : NULL;
}

/* From there to the end of the cluster, or of the subcluster. */
static const char *look_once(struct qcow2_run *run, const struct qcow2_map *map,
                             const uint8_t *slice, uint64_t at_bytes)
{
    uint64_t cluster = at_bytes >> map->cluster_bits;
    uint64_t in_cluster = at_bytes & (qcow2_map_cluster_bytes(map) - 1);
    const uint8_t *at =
        slice + (cluster & ((UINT64_C(1) << map->slice_bits) - 1)) * map->entry_bytes;
    uint64_t entry = qcow2_be64(at);

    *run = (struct qcow2_run){ .length_bytes = left_of(at_bytes, map->cluster_bits) };
    if (map->version == 1)
        return look_1(run, map, entry, in_cluster);
    if (map->entry_bytes == 16)
        return look_extended(run, map, entry, qcow2_be64(at + 8), in_cluster);
    return look_2(run, map, entry, in_cluster);
}

static bool goes_on(const struct qcow2_run *run, const struct qcow2_run *next)
{
    if (next->kind != run->kind || run->kind == QCOW2_COMPRESSED)
        return false;
    return run->kind != QCOW2_DATA || next->host_bytes == run->host_bytes + run->length_bytes;
}

/* A fault behind the first piece is for who looks there. */
const char *qcow2_map_look(struct qcow2_run *out, const struct qcow2_map *map, const uint8_t *slice,
                           uint64_t at_bytes, uint64_t length_bytes)
{
    uint64_t slice_left = left_of(at_bytes, map->cluster_bits + map->slice_bits);
    struct qcow2_run next;
    const char *fault = look_once(out, map, slice, at_bytes);

    if (length_bytes > slice_left)
        length_bytes = slice_left;
    while (fault == NULL && out->length_bytes < length_bytes &&
           look_once(&next, map, slice, at_bytes + out->length_bytes) == NULL &&
           goes_on(out, &next))
        out->length_bytes += next.length_bytes;
    if (out->length_bytes > length_bytes)
        out->length_bytes = length_bytes;
    return fault;
}
