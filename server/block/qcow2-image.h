/* What a qcow2 image says of itself, read once when it is opened: header, L1 table, and which
 * snapshot is meant. */
#ifndef NBDCRYPT_QCOW2_IMAGE_H
#define NBDCRYPT_QCOW2_IMAGE_H

#include "server/block/layer.h"
#include "server/qcow2/qcow2-map.h"

struct qcow2_image {
    struct qcow2_header header;
    struct qcow2_map map;
    uint64_t size_bytes; /* of the disk, or of the snapshot */
    uint64_t *l1;        /* map.l1_entries, as in the file: big-endian; owned */
};

/* Blocks.  `snapshot`: the name or the id of one; NULL: the disk as it is.  -EINVAL, -ENOTSUP: it
 * is refused; -ENOENT: there is no such snapshot; those of reading.  The message does not name the
 * image. */
NODISCARD int qcow2_image_read(struct qcow2_image *out, struct stage *file, const char *snapshot,
                               struct error *err);
void qcow2_image_free(struct qcow2_image *image);

/* Does a file begin as one?  Blocks. */
NODISCARD int qcow2_image_is_there(bool *out, struct stage *file, struct error *err);

#endif
