/* One entry of the table of internal snapshots. */
#ifndef NBDCRYPT_QCOW2_SNAPSHOT_H
#define NBDCRYPT_QCOW2_SNAPSHOT_H

#include <stddef.h>
#include <stdint.h>

#include "server/base/error.h"

#define QCOW2_SNAPSHOT_START_BYTES 40u /* they tell how long the entry is */
#define QCOW2_SNAPSHOT_EXTRA_BYTES_MAX 1024u
#define QCOW2_SNAPSHOT_BYTES_MAX \
    (QCOW2_SNAPSHOT_START_BYTES + QCOW2_SNAPSHOT_EXTRA_BYTES_MAX + 2 * 65535u + 8)

struct qcow2_snapshot {
    uint64_t l1_offset_bytes;
    uint32_t l1_entries;
    uint64_t disk_bytes;   /* 0: as large as the image says */
    const char *id, *name; /* in the bytes of the entry, without an end */
    size_t id_bytes, name_bytes;
};

/* How long the entry is that begins with these bytes, which is at most QCOW2_SNAPSHOT_BYTES_MAX.
 * -EINVAL. */
NODISCARD int qcow2_snapshot_length(size_t *out, const uint8_t start[QCOW2_SNAPSHOT_START_BYTES],
                                    struct error *err);
/* The entry, of the length that the other told. */
void qcow2_snapshot_parse(struct qcow2_snapshot *out, const uint8_t *bytes);

#endif
