/* rbd:POOL/[NAMESPACE/]IMAGE[@SNAP] - an image in a Ceph cluster, through librbd. */
#ifndef NBDCRYPT_RBD_H
#define NBDCRYPT_RBD_H

#include "server/block/layer.h"

extern const struct layer_ops rbd_ops;

#endif
