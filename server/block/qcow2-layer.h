/* The layer of a qcow2 image: see qcow2-stage.h, which makes the stage. */
#ifndef NBDCRYPT_QCOW2_LAYER_H
#define NBDCRYPT_QCOW2_LAYER_H

#include "server/block/layer.h"

/* Of a struct qcow2_stage (qcow2-parts.h). */
extern const struct layer_ops qcow2_ops;

#endif
