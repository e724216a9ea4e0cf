/* A stage of a qcow2 image: the disk above, the file below, for reading.
 *
 * It stands right above the backend.  Guest's data goes into the buffer of the request without a
 * copy, but for clusters that are compressed.  What the map says is read as it is needed
 * (qcow2-slices.h), so a fault in it is found when somebody reads there: that read fails with EIO,
 * and the log has a sentence.
 *
 * An image that QEMU encrypted gets its key by qcow2_stage_unlock() before a layer is attached. */
#ifndef NBDCRYPT_QCOW2_STAGE_H
#define NBDCRYPT_QCOW2_STAGE_H

#include "crypto/cipher/cipher-spec.h"
#include "crypto/secret.h"
#include "server/block/layer.h"
#include "server/qcow2/qcow2-header.h"

struct qcow2_settings {
    const char *name;        /* IMAGE, for messages; copied */
    const char *snapshot;    /* which one; NULL: the disk as it is */
    bool force;              /* read it although QEMU has marked it as corrupt */
    struct offload *offload; /* where clusters are inflated; NULL: nothing is served */
};

/* A stage over `below`, which it owns from then on; blocks.  Errors as of qcow2_image_read(); the
 * message does not name the image. */
NODISCARD int qcow2_stage_create(struct stage **out, struct stage *below,
                                 const struct qcow2_settings *settings, struct error *err);

/* The name that its header gives to a backing file; NULL: it has none, or `stage` is none of ours.
 * Nobody opens it unasked: until qcow2_stage_set_backing(), what is not allocated can't be read. */
const char *qcow2_stage_backing(const struct stage *stage);
/* "raw", "qcow2"; "": it is not said. */
const char *qcow2_stage_backing_format(const struct stage *stage);
/* `backing` becomes its own.  Before a layer is attached. */
void qcow2_stage_set_backing(struct stage *stage, struct stage *backing);

/* The stage of the image at the bottom of a pipeline, by its top; NULL: it is none of ours. */
const struct stage *qcow2_stage_of(const struct stage *top);
/* What that image says of itself; NULL as above. */
const struct qcow2_header *qcow2_stage_header(const struct stage *top);
/* Its disk can't be read, because it has a backing file, which was not opened. */
bool qcow2_stage_lacks_backing(const struct stage *top);

/* How an image at the bottom of a pipeline is encrypted, by its top, whether or not it has a key.
 */
enum qcow2_crypt qcow2_stage_crypt(const struct stage *top);
/* The place of its LUKS header, in what qcow2_stage_file() gives. */
struct byte_range qcow2_stage_luks_area(const struct stage *top);
struct stage *qcow2_stage_file(struct stage *top);
/* Its key, which becomes its own, instead of one that was there.  No layer is attached. */
void qcow2_stage_unlock(struct stage *top, const struct cipher_spec *cipher, struct secret *key);

#endif
