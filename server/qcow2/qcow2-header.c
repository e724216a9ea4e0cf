#include "server/qcow2/qcow2-header.h"

#include <errno.h>
#include <inttypes.h>

#include "server/qcow2/qcow2-bytes.h"

#define HEADER_1_BYTES 48u
#define HEADER_2_BYTES 72u
#define HEADER_3_BYTES 104u

#define INCOMPATIBLE_DIRTY (1u << 0)
#define INCOMPATIBLE_CORRUPT (1u << 1)
#define INCOMPATIBLE_DATA_FILE (1u << 2)
#define INCOMPATIBLE_COMPRESSION (1u << 3)
#define INCOMPATIBLE_EXTENDED_L2 (1u << 4)
#define INCOMPATIBLE_KNOWN 0x1fu

#define EXTENSION_END 0u
#define EXTENSION_BACKING_FORMAT 0xe2792acau
#define EXTENSION_LUKS 0x0537be77u
#define EXTENSION_DATA_FILE 0x44415441u

/* What is parsed. */
struct source {
    const uint8_t *bytes;
    size_t length_bytes;
    uint64_t file_bytes;
};

bool qcow2_header_is_there(const uint8_t *bytes, size_t length_bytes)
{
    return length_bytes >= 4 && memcmp(bytes, "QFI\xfb", 4) == 0;
}

uint64_t qcow2_header_l1_covers(const struct qcow2_header *header)
{
    unsigned bits = header->cluster_bits + header->l2_bits;

    return UINT64_C(1) << (bits < 63 ? bits : 63);
}

int qcow2_header_check_l1(const struct qcow2_header *header, uint64_t offset_bytes,
                          uint64_t entries, uint64_t file_bytes, struct error *err)
{
    uint64_t bytes = entries * 8;

    if (entries > QCOW2_L1_BYTES_MAX / 8)
        return error_set(err, -EINVAL,
                         "its L1 table has %" PRIu64 " entries; more than %u are refused", entries,
                         QCOW2_L1_BYTES_MAX / 8);
    if (entries > 0 && header->version > 1 &&
        offset_bytes % (UINT64_C(1) << header->cluster_bits) != 0)
        return error_set(err, -EINVAL,
                         "its L1 table is at byte %" PRIu64 ", which is not the start of a cluster",
                         offset_bytes);
    if (entries > 0 && offset_bytes == 0)
        return error_set(err, -EINVAL, "its L1 table lies over the header");
    if (offset_bytes > file_bytes || bytes > file_bytes - offset_bytes)
        return error_set(err, -EINVAL,
                         "its L1 table at byte %" PRIu64 " (%" PRIu64
                         " bytes) reaches over the end of the file",
                         offset_bytes, bytes);
    return 0;
}

/* The name of another file, to be shown; it has no end of its own. */
static int take_backing(struct qcow2_header *out, const struct source *source,
                        uint64_t offset_bytes, uint32_t length_bytes, struct error *err)
{
    if (offset_bytes == 0)
        return 0;
    if (length_bytes >= QCOW2_BACKING_BYTES_MAX)
        return error_set(err, -EINVAL, "the name of its backing file has %u bytes; at most %u may",
                         length_bytes, QCOW2_BACKING_BYTES_MAX - 1);
    if (offset_bytes > source->length_bytes || length_bytes > source->length_bytes - offset_bytes)
        return error_set(err, -EINVAL,
                         "the name of its backing file is at byte %" PRIu64
                         ", which is not in front of the file",
                         offset_bytes);
    memcpy(out->backing, source->bytes + offset_bytes, length_bytes);
    if (memchr(out->backing, '\0', length_bytes) != NULL)
        return error_set(err, -EINVAL, "the name of its backing file has a byte 0 in it");
    return 0;
}

static int take_crypt(struct qcow2_header *out, uint32_t method, struct error *err)
{
    if (method > QCOW2_CRYPT_LUKS || (out->version == 1 && method == QCOW2_CRYPT_LUKS))
        return error_set(err, -ENOTSUP,
                         "its encryption method is %u, which is unknown: there are 0 (none), 1 "
                         "(AES) and 2 (LUKS, not in version 1)",
                         method);
    out->crypt = (enum qcow2_crypt)method;
    return 0;
}

static int check_size(const struct qcow2_header *header, struct error *err)
{
    if (header->size_bytes > INT64_MAX)
        return error_set(err, -EINVAL, "its disk has %" PRIu64 " bytes, which is too much",
                         header->size_bytes);
    return 0;
}

/* Rounded up. */
static uint64_t l1_entries_of(const struct qcow2_header *header)
{
    uint64_t covers = qcow2_header_l1_covers(header);

    return header->size_bytes / covers + (header->size_bytes % covers != 0);
}

/* ---- version 1 ---- */

static int parse_1(struct qcow2_header *out, const struct source *source, struct error *err)
{
    const uint8_t *bytes = source->bytes;

    if (source->length_bytes < HEADER_1_BYTES)
        return error_set(err, -EINVAL, "it ends amid its header");
    out->size_bytes = qcow2_be64(bytes + 24);
    out->cluster_bits = bytes[32];
    out->l2_bits = bytes[33];
    if (out->cluster_bits < 9 || out->cluster_bits > 16)
        return error_set(err, -EINVAL, "its clusters have 2^%u bytes; 2^9 to 2^16 are possible",
                         out->cluster_bits);
    if (out->l2_bits < 6 || out->l2_bits > 13)
        return error_set(err, -EINVAL, "its L2 tables have 2^%u entries; 2^6 to 2^13 are possible",
                         out->l2_bits);
    int result = check_size(out, err);
    if (result == 0)
        result = take_crypt(out, qcow2_be32(bytes + 36), err);
    if (result == 0)
        result = take_backing(out, source, qcow2_be64(bytes + 8), qcow2_be32(bytes + 16), err);
    if (result < 0)
        return result;
    uint64_t entries = l1_entries_of(out);
    out->l1_offset_bytes = qcow2_be64(bytes + 40);
    result = qcow2_header_check_l1(out, out->l1_offset_bytes, entries, source->file_bytes, err);
    if (result == 0 && entries > 0 && out->l1_offset_bytes < HEADER_1_BYTES)
        result = error_set(err, -EINVAL, "its L1 table lies over the header");
    if (result == 0)
        out->l1_entries = (uint32_t)entries;
    return result;
}

/* ---- versions 2 and 3 ---- */

static int take_features(struct qcow2_header *out, const struct source *source, struct error *err)
{
    uint64_t incompatible = qcow2_be64(source->bytes + 72);

    if (incompatible & INCOMPATIBLE_DATA_FILE)
        return error_set(err, -ENOTSUP,
                         "its data is in another file, which is refused: who controls the image "
                         "could name any file (qemu-img convert makes an image of the two)");
    if (incompatible & ~(uint64_t)INCOMPATIBLE_KNOWN)
        return error_set(err, -ENOTSUP,
                         "it has features that are unknown here (incompatible bits %#" PRIx64 ")",
                         incompatible & ~(uint64_t)INCOMPATIBLE_KNOWN);
    out->dirty = incompatible & INCOMPATIBLE_DIRTY;
    out->corrupt = incompatible & INCOMPATIBLE_CORRUPT;
    out->extended_l2 = incompatible & INCOMPATIBLE_EXTENDED_L2;
    if (out->extended_l2 && out->cluster_bits < 14)
        return error_set(err, -EINVAL,
                         "it has subclusters, and clusters of 2^%u bytes; they need 2^14",
                         out->cluster_bits);
    return 0;
}

static int take_compression(struct qcow2_header *out, const struct source *source,
                            uint32_t header_bytes, struct error *err)
{
    bool differs = qcow2_be64(source->bytes + 72) & INCOMPATIBLE_COMPRESSION;
    unsigned type = header_bytes > HEADER_3_BYTES ? source->bytes[104] : 0;

    if (type > 1)
        return error_set(err, -ENOTSUP,
                         "its compression is of type %u, which is unknown: there are 0 (deflate) "
                         "and 1 (zstd)",
                         type);
    if (differs != (type != 0))
        return error_set(err, -EINVAL, "its header contradicts itself about its compression");
    out->zstd = type == 1;
    return 0;
}

static int take_luks(struct qcow2_header *out, const uint8_t *data, uint32_t length_bytes,
                     uint64_t file_bytes, struct error *err)
{
    if (length_bytes < 16)
        return error_set(err, -EINVAL, "what says where its LUKS header is has %u bytes, not 16",
                         length_bytes);
    out->luks_offset_bytes = qcow2_be64(data);
    out->luks_bytes = qcow2_be64(data + 8);
    if (out->luks_offset_bytes == 0 || out->luks_bytes == 0 ||
        out->luks_offset_bytes % (UINT64_C(1) << out->cluster_bits) != 0)
        return error_set(err, -EINVAL,
                         "its LUKS header is at byte %" PRIu64 ", which is not the start of a "
                         "cluster",
                         out->luks_offset_bytes);
    if (out->luks_offset_bytes > file_bytes ||
        out->luks_bytes > file_bytes - out->luks_offset_bytes)
        return error_set(err, -EINVAL, "its LUKS header reaches over the end of the file");
    return 0;
}

static int take_extension(struct qcow2_header *out, uint32_t type, const uint8_t *data,
                          uint32_t length_bytes, uint64_t file_bytes, struct error *err)
{
    switch (type) {
    case EXTENSION_BACKING_FORMAT:
        if (length_bytes >= sizeof out->backing_format)
            return error_set(err, -EINVAL, "the format of its backing file has a name of %u bytes",
                             length_bytes);
        memcpy(out->backing_format, data, length_bytes);
        return 0;
    case EXTENSION_LUKS:
        return take_luks(out, data, length_bytes, file_bytes, err);
    case EXTENSION_DATA_FILE: /* the incompatible bit is what counts */
    default:
        return 0;
    }
}

/* They end with the first cluster, or with the name of the backing file. */
static int take_extensions(struct qcow2_header *out, const struct source *source,
                           uint64_t offset_bytes, struct error *err)
{
    uint64_t end_bytes = UINT64_C(1) << out->cluster_bits;
    uint64_t backing_bytes = qcow2_be64(source->bytes + 8);
    int result = 0;

    if (backing_bytes != 0 && backing_bytes < end_bytes)
        end_bytes = backing_bytes;
    if (end_bytes > source->length_bytes)
        end_bytes = source->length_bytes;
    while (result == 0 && offset_bytes < end_bytes && end_bytes - offset_bytes >= 8) {
        uint32_t type = qcow2_be32(source->bytes + offset_bytes);
        uint32_t length_bytes = qcow2_be32(source->bytes + offset_bytes + 4);

        offset_bytes += 8;
        if (type == EXTENSION_END)
            break;
        if (length_bytes > end_bytes - offset_bytes)
            return error_set(err, -EINVAL,
                             "an extension of its header (type %#x) has %u bytes, which reaches "
                             "over the end of the header",
                             type, length_bytes);
        result = take_extension(out, type, source->bytes + offset_bytes, length_bytes,
                                source->file_bytes, err);
        offset_bytes += ((uint64_t)length_bytes + 7) & ~UINT64_C(7);
    }
    if (result == 0 && out->crypt == QCOW2_CRYPT_LUKS && out->luks_bytes == 0)
        return error_set(err, -EINVAL,
                         "it is encrypted by LUKS, and does not say where its LUKS header is");
    return result;
}

static int take_snapshots(struct qcow2_header *out, const struct source *source, struct error *err)
{
    out->snapshots = qcow2_be32(source->bytes + 60);
    out->snapshots_offset_bytes = qcow2_be64(source->bytes + 64);
    if (out->snapshots > QCOW2_SNAPSHOTS_MAX)
        return error_set(err, -EINVAL, "it says that it has %u snapshots; at most %u may",
                         out->snapshots, QCOW2_SNAPSHOTS_MAX);
    if (out->snapshots > 0 &&
        (out->snapshots_offset_bytes == 0 || out->snapshots_offset_bytes >= source->file_bytes ||
         out->snapshots_offset_bytes % (UINT64_C(1) << out->cluster_bits) != 0))
        return error_set(err, -EINVAL,
                         "its table of snapshots is at byte %" PRIu64 ", where there can't be one",
                         out->snapshots_offset_bytes);
    return 0;
}

static int take_l1(struct qcow2_header *out, const struct source *source, struct error *err)
{
    out->l1_entries = qcow2_be32(source->bytes + 36);
    out->l1_offset_bytes = qcow2_be64(source->bytes + 40);
    int result =
        qcow2_header_check_l1(out, out->l1_offset_bytes, out->l1_entries, source->file_bytes, err);
    if (result == 0 && out->l1_entries < l1_entries_of(out))
        result = error_set(err, -EINVAL,
                           "its L1 table has %u entries, too few for a disk of %" PRIu64 " bytes",
                           out->l1_entries, out->size_bytes);
    return result;
}

static int parse_2(struct qcow2_header *out, const struct source *source, struct error *err)
{
    const uint8_t *bytes = source->bytes;
    uint32_t header_bytes = HEADER_2_BYTES;

    if (source->length_bytes < (out->version == 2 ? HEADER_2_BYTES : HEADER_3_BYTES))
        return error_set(err, -EINVAL, "it ends amid its header");
    out->cluster_bits = qcow2_be32(bytes + 20);
    if (out->cluster_bits < 9 || out->cluster_bits > 21)
        return error_set(err, -EINVAL, "its clusters have 2^%u bytes; 2^9 to 2^21 are possible",
                         out->cluster_bits);
    out->size_bytes = qcow2_be64(bytes + 24);
    int result = check_size(out, err);
    if (result == 0)
        result = take_crypt(out, qcow2_be32(bytes + 32), err);
    if (result == 0 && out->version == 3) {
        header_bytes = qcow2_be32(bytes + 100);
        if (header_bytes < HEADER_3_BYTES || header_bytes > source->length_bytes ||
            header_bytes > UINT32_C(1) << out->cluster_bits)
            return error_set(err, -EINVAL, "its header has %u bytes, which can't be", header_bytes);
        result = take_features(out, source, err);
    }
    if (result == 0 && out->version == 3)
        result = take_compression(out, source, header_bytes, err);
    if (result < 0)
        return result;
    out->l2_bits = out->cluster_bits - (out->extended_l2 ? 4 : 3);
    result = take_backing(out, source, qcow2_be64(bytes + 8), qcow2_be32(bytes + 16), err);
    if (result == 0)
        result = take_l1(out, source, err);
    if (result == 0)
        result = take_snapshots(out, source, err);
    return result == 0 ? take_extensions(out, source, header_bytes, err) : result;
}

int qcow2_header_parse(struct qcow2_header *out, const uint8_t *bytes, size_t length_bytes,
                       uint64_t file_bytes, struct error *err)
{
    const struct source source = { bytes, length_bytes, file_bytes };

    *out = (struct qcow2_header){ .version = 0 };
    if (!qcow2_header_is_there(bytes, length_bytes))
        return error_set(err, -EINVAL, "it is no qcow2 image: it does not begin with \"QFI\\xfb\"");
    if (length_bytes < 8)
        return error_set(err, -EINVAL, "it ends amid its header");
    out->version = qcow2_be32(bytes + 4);
    if (out->version == 1)
        return parse_1(out, &source, err);
    if (out->version == 2 || out->version == 3)
        return parse_2(out, &source, err);
    return error_set(err, -ENOTSUP, "it is qcow2 of version %u; there are 1, 2 and 3",
                     out->version);
}
