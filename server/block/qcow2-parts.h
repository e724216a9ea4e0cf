/* What the layer of a qcow2 image knows of its stage. */
#ifndef NBDCRYPT_QCOW2_PARTS_H
#define NBDCRYPT_QCOW2_PARTS_H

#include <stdatomic.h>

#include "crypto/cipher/cipher-spec.h"
#include "crypto/secret.h"
#include "server/block/qcow2-image.h"

struct qcow2_stage {
    struct stage stage;
    struct qcow2_image image;
    struct stage *backing; /* owned; NULL: zeros, or nobody may read it */
    struct offload *offload;
    char *name;
    struct cipher_spec cipher;
    struct secret *key; /* NULL: not encrypted, or not unlocked */
    atomic_bool fault_told, inflate_told;
};

#endif
