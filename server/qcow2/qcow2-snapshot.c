#include "server/qcow2/qcow2-snapshot.h"

#include <errno.h>

#include "server/qcow2/qcow2-bytes.h"

int qcow2_snapshot_length(size_t *out, const uint8_t start[QCOW2_SNAPSHOT_START_BYTES],
                          struct error *err)
{
    uint32_t extra_bytes = qcow2_be32(start + 36);

    if (extra_bytes > QCOW2_SNAPSHOT_EXTRA_BYTES_MAX)
        return error_set(err, -EINVAL,
                         "a snapshot in its table has %u bytes of further data; at most %u may",
                         extra_bytes, QCOW2_SNAPSHOT_EXTRA_BYTES_MAX);
    *out =
        QCOW2_SNAPSHOT_START_BYTES + extra_bytes + qcow2_be16(start + 12) + qcow2_be16(start + 14);
    *out = (*out + 7) & ~(size_t)7;
    return 0;
}

void qcow2_snapshot_parse(struct qcow2_snapshot *out, const uint8_t *bytes)
{
    uint32_t extra_bytes = qcow2_be32(bytes + 36);
    const uint8_t *extra = bytes + QCOW2_SNAPSHOT_START_BYTES;

    *out = (struct qcow2_snapshot){
        .l1_offset_bytes = qcow2_be64(bytes),
        .l1_entries = qcow2_be32(bytes + 8),
        .id = (const char *)extra + extra_bytes,
        .id_bytes = qcow2_be16(bytes + 12),
        .name_bytes = qcow2_be16(bytes + 14),
    };
    out->name = out->id + out->id_bytes;
    if (extra_bytes >= 16) /* in front of it is the size of a machine's memory */
        out->disk_bytes = qcow2_be64(extra + 8);
}
