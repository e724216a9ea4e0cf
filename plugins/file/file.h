/* file:PATH - a regular file or a block device, through io_uring. */
#ifndef NBDCRYPT_FILE_H
#define NBDCRYPT_FILE_H

#include "server/block/layer.h"

extern const struct layer_ops file_ops;

#endif
