/* What the bytes of a qcow2 image mean, without an image. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/qcow2/qcow2-header.h"
#include "server/qcow2/qcow2-map.h"
#include "server/qcow2/qcow2-snapshot.h"
#include "tests/support/check.h"

#define CLUSTER_BYTES 65536u
#define FILE_BYTES (64u * CLUSTER_BYTES)

static uint8_t image[CLUSTER_BYTES];

static void put32(size_t at, uint32_t value)
{
    value = htobe32(value);
    memcpy(image + at, &value, sizeof value);
}

static void put64(size_t at, uint64_t value)
{
    value = htobe64(value);
    memcpy(image + at, &value, sizeof value);
}

/* Version 3, 1 GiB, nothing in it. */
static void make_header(void)
{
    memset(image, 0, sizeof image);
    memcpy(image, "QFI\xfb", 4);
    put32(4, 3);
    put32(20, 16);
    put64(24, 1u << 30);
    put32(36, 2);
    put64(40, 3 * CLUSTER_BYTES);
    put32(100, 104);
}

static int parse(struct qcow2_header *header, struct error *err)
{
    return qcow2_header_parse(header, image, sizeof image, FILE_BYTES, err);
}

static void good_headers_are_read(void)
{
    struct qcow2_header header;
    struct error err = { "" };

    make_header();
    EXPECT(parse(&header, &err) == 0);
    EXPECT(header.version == 3 && header.cluster_bits == 16 && header.l2_bits == 13);
    EXPECT(header.size_bytes == 1u << 30 && header.l1_entries == 2);
    EXPECT(qcow2_header_l1_covers(&header) == 512u << 20);
    EXPECT(header.backing[0] == '\0' && header.crypt == QCOW2_CRYPT_NONE && !header.zstd);

    put64(72, 1 << 4);
    put32(36, 4);
    EXPECT(parse(&header, &err) == 0 && header.extended_l2 && header.l2_bits == 12);

    make_header();
    put32(104, 0xe2792aca); /* behind the header: the format of the backing file */
    put32(108, 3);
    memcpy(image + 112, "raw", 3);
    put64(8, 160);
    put32(16, 4);
    memcpy(image + 160, "base", 4);
    EXPECT(parse(&header, &err) == 0);
    EXPECT(strcmp(header.backing, "base") == 0 && strcmp(header.backing_format, "raw") == 0);
}

static void version_1_is_read(void)
{
    struct qcow2_header header;
    struct error err = { "" };

    memset(image, 0, sizeof image);
    memcpy(image, "QFI\xfb", 4);
    put32(4, 1);
    put64(24, 10u << 20);
    image[32] = 12;
    image[33] = 9;
    put32(36, 1);
    put64(40, 48);
    EXPECT(parse(&header, &err) == 0);
    EXPECT(header.version == 1 && header.l1_entries == 5 && header.crypt == QCOW2_CRYPT_AES);
    image[33] = 200;
    EXPECT(parse(&header, &err) == -EINVAL);
}

/* One number of the header, and a part of the sentence that it leads to. */
struct fault {
    size_t at;
    unsigned bytes;
    uint64_t value;
    int result;
    const char *sentence;
};

static const struct fault faults[] = {
    { 0, 4, 0x51464900, -EINVAL, "it is no qcow2 image" },
    { 4, 4, 0, -ENOTSUP, "version 0" },
    { 4, 4, 4, -ENOTSUP, "version 4" },
    { 8, 8, UINT64_MAX, -EINVAL, "not in front of the file" },
    { 20, 4, 8, -EINVAL, "its clusters have 2^8 bytes" },
    { 20, 4, 22, -EINVAL, "its clusters have 2^22 bytes" },
    { 20, 4, UINT32_MAX, -EINVAL, "its clusters have" },
    { 24, 8, UINT64_C(1) << 63, -EINVAL, "which is too much" },
    { 24, 8, INT64_MAX, -EINVAL, "too few for a disk" },
    { 32, 4, 3, -ENOTSUP, "encryption method is 3" },
    { 32, 4, 2, -EINVAL, "does not say where its LUKS header is" },
    { 36, 4, 0, -EINVAL, "too few for a disk" },
    { 36, 4, UINT32_MAX, -EINVAL, "more than" },
    { 36, 4, 4194304, -EINVAL, "reaches over the end of the file" },
    { 40, 8, 0, -EINVAL, "lies over the header" },
    { 40, 8, 513, -EINVAL, "not the start of a cluster" },
    { 40, 8, FILE_BYTES, -EINVAL, "reaches over the end of the file" },
    { 40, 8, UINT64_MAX - CLUSTER_BYTES + 1, -EINVAL, "reaches over the end of the file" },
    { 60, 4, 65537, -EINVAL, "snapshots" },
    { 60, 4, 1, -EINVAL, "table of snapshots" },
    { 72, 8, 1 << 2, -ENOTSUP, "another file" },
    { 72, 8, 1 << 5, -ENOTSUP, "unknown here" },
    { 72, 8, UINT64_C(1) << 63, -ENOTSUP, "unknown here" },
    { 72, 8, 1 << 3, -EINVAL, "contradicts itself" },
    { 100, 4, 103, -EINVAL, "header has 103 bytes" },
    { 100, 4, UINT32_MAX, -EINVAL, "header has" },
};

static void bad_headers_are_refused(void)
{
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        struct qcow2_header header;
        struct error err = { "" };

        make_header();
        if (faults[i].bytes == 4)
            put32(faults[i].at, (uint32_t)faults[i].value);
        else
            put64(faults[i].at, faults[i].value);
        EXPECT(parse(&header, &err) == faults[i].result);
        EXPECT(strstr(err.text, faults[i].sentence) != NULL);
    }
}

/* Each prefix of a header is refused or read, without a byte behind it. */
static void cut_headers_are_refused(void)
{
    struct qcow2_header header;
    struct error err;

    make_header();
    for (size_t length = 0; length < 104; length++) {
        uint8_t *cut = malloc(length + 1);

        EXPECT(cut != NULL);
        memcpy(cut, image, length);
        EXPECT(qcow2_header_parse(&header, cut, length, length, &err) < 0);
        free(cut);
    }
}

static struct qcow2_map map_of_3(void)
{
    struct qcow2_header header = { .version = 3, .cluster_bits = 16, .l2_bits = 13 };

    return qcow2_map_of(&header, 2, FILE_BYTES);
}

static void tables_are_found(void)
{
    struct qcow2_map map = map_of_3();
    uint64_t at;

    EXPECT(map.slice_bits == 9 && qcow2_map_slice_bytes(&map) == 4096);
    EXPECT(qcow2_map_l1_index(&map, (512u << 20) + 5) == 1);
    EXPECT(qcow2_map_l1_left_bytes(&map, (512u << 20) + 5) == (512u << 20) - 5);
    EXPECT(qcow2_map_slice(&at, &map, 0, 0) == NULL && at == 0);
    EXPECT(qcow2_map_slice(&at, &map, UINT64_C(1) << 63 | 4 * CLUSTER_BYTES, 32u << 20) == NULL);
    EXPECT(at == 4 * CLUSTER_BYTES + 4096);
    EXPECT(qcow2_map_slice(&at, &map, 512, 0) != NULL);
    EXPECT(qcow2_map_slice(&at, &map, FILE_BYTES, 0) != NULL);
    EXPECT(qcow2_map_slice(&at, &map, UINT64_C(0x00fffffffffe0000), 0) != NULL);
}

static struct qcow2_run look(const struct qcow2_map *map, uint64_t at, uint64_t length)
{
    struct qcow2_run run;

    EXPECT(qcow2_map_look(&run, map, image, at, length) == NULL);
    return run;
}

static void entries_are_understood(void)
{
    struct qcow2_map map = map_of_3();
    struct qcow2_run run;

    memset(image, 0, sizeof image);
    put64(0, UINT64_C(1) << 63 | 8 * CLUSTER_BYTES);
    put64(8, UINT64_C(1) << 63 | 9 * CLUSTER_BYTES);
    put64(16, 1);
    put64(24, 11 * CLUSTER_BYTES | 1); /* has a place, and reads as zeros all the same */
    put64(40, UINT64_C(1) << 62 | UINT64_C(2) << 54 | (CLUSTER_BYTES + 100));
    run = look(&map, 5, 1u << 30);
    EXPECT(run.kind == QCOW2_DATA && run.host_bytes == 8 * CLUSTER_BYTES + 5);
    EXPECT(run.length_bytes == 2 * CLUSTER_BYTES - 5);
    run = look(&map, 5, 10);
    EXPECT(run.length_bytes == 10);
    run = look(&map, 2 * CLUSTER_BYTES, 1u << 30);
    EXPECT(run.kind == QCOW2_ZERO && run.length_bytes == 2 * CLUSTER_BYTES);
    run = look(&map, 4 * CLUSTER_BYTES, 1u << 30);
    EXPECT(run.kind == QCOW2_UNALLOCATED && run.length_bytes == CLUSTER_BYTES);
    run = look(&map, 5 * CLUSTER_BYTES + 1, 1u << 30);
    EXPECT(run.kind == QCOW2_COMPRESSED && run.length_bytes == CLUSTER_BYTES - 1);
    EXPECT(run.host_bytes == CLUSTER_BYTES + 100 && run.compressed_bytes == 3 * 512 - 100);
    run = look(&map, 6 * CLUSTER_BYTES, 1u << 30);
    EXPECT(run.kind == QCOW2_UNALLOCATED && run.length_bytes == 506 * CLUSTER_BYTES);
    run = look(&map, (1u << 29) - 1, 1u << 30);
    EXPECT(run.length_bytes == 1); /* where the slice ends */
}

static void subclusters_are_understood(void)
{
    struct qcow2_map map = map_of_3();
    struct qcow2_run run;

    map.entry_bytes = 16;
    map.slice_bits = 8;
    memset(image, 0, sizeof image);
    put64(0, 8 * CLUSTER_BYTES);
    put64(8, UINT64_C(0x8) << 32 | 0x3); /* two of data, one of nothing, one of zeros */
    run = look(&map, 0, 1u << 30);
    EXPECT(run.kind == QCOW2_DATA && run.length_bytes == 4096);
    run = look(&map, 4096, 1u << 30);
    EXPECT(run.kind == QCOW2_UNALLOCATED && run.length_bytes == 2048);
    run = look(&map, 6144, 1u << 30);
    EXPECT(run.kind == QCOW2_ZERO && run.length_bytes == 2048);
    put64(8, UINT64_C(0x1) << 32 | 0x1);
    EXPECT(qcow2_map_look(&run, &map, image, 0, 1) != NULL);
    put64(0, 0);
    put64(8, 1);
    EXPECT(qcow2_map_look(&run, &map, image, 0, 1) != NULL);
}

static const char *fault_of(struct qcow2_map map, uint64_t entry)
{
    struct qcow2_run run;

    memset(image, 0, sizeof image);
    put64(0, entry);
    return qcow2_map_look(&run, &map, image, 0, 1);
}

static void bad_entries_are_refused(void)
{
    struct qcow2_map map = map_of_3();

    EXPECT(fault_of(map, 8 * CLUSTER_BYTES) == NULL);
    EXPECT(strstr(fault_of(map, 8 * CLUSTER_BYTES + 512), "no start of a cluster") != NULL);
    EXPECT(strstr(fault_of(map, FILE_BYTES), "behind the end of the file") != NULL);
    EXPECT(strstr(fault_of(map, UINT64_C(1) << 62), "does not lie in the file") != NULL);
    EXPECT(strstr(fault_of(map, UINT64_C(1) << 62 | FILE_BYTES), "does not lie") != NULL);
    EXPECT(strstr(fault_of(map, UINT64_MAX), "does not lie in the file") != NULL);
    map.encrypted = true;
    EXPECT(strstr(fault_of(map, UINT64_C(1) << 62 | 65536), "compressed") != NULL);
    map.version = 2;
    EXPECT(strstr(fault_of(map, 1), "version 3") != NULL);
    map = map_of_3();
    map.version = 1;
    map.cluster_bits = 12;
    EXPECT(fault_of(map, 4096) == NULL && fault_of(map, 4097) != NULL);
    EXPECT(strstr(fault_of(map, UINT64_C(1) << 63 | 4096), "no length") != NULL);
}

static void snapshots_are_read(void)
{
    struct qcow2_snapshot snapshot;
    struct error err = { "" };
    size_t length;

    memset(image, 0, sizeof image);
    put64(0, 7 * CLUSTER_BYTES);
    put32(8, 3);
    put32(12, 1u << 16 | 4);
    put32(36, 16);
    put64(48, 12345);
    memcpy(image + 56, "1name", 5);
    EXPECT(qcow2_snapshot_length(&length, image, &err) == 0 && length == 64);
    qcow2_snapshot_parse(&snapshot, image);
    EXPECT(snapshot.l1_offset_bytes == 7 * CLUSTER_BYTES && snapshot.l1_entries == 3);
    EXPECT(snapshot.disk_bytes == 12345 && snapshot.id_bytes == 1 && snapshot.name_bytes == 4);
    EXPECT(memcmp(snapshot.name, "name", 4) == 0);
    put32(36, UINT32_MAX);
    EXPECT(qcow2_snapshot_length(&length, image, &err) == -EINVAL);
}

int main(void)
{
    good_headers_are_read();
    version_1_is_read();
    bad_headers_are_refused();
    cut_headers_are_refused();
    tables_are_found();
    entries_are_understood();
    subclusters_are_understood();
    bad_entries_are_refused();
    snapshots_are_read();
    return 0;
}
