/* memory:SIZE - a disk in this process's memory, gone when it ends. */
#ifndef NBDCRYPT_MEMORY_H
#define NBDCRYPT_MEMORY_H

#include "server/block/layer.h"

extern const struct layer_ops memory_ops;

#endif
