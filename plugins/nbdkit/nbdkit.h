/* nbdkit:PLUGIN[?key=value&...] - a plugin of nbdkit, unmodified, in this process. */
#ifndef NBDCRYPT_NBDKIT_H
#define NBDCRYPT_NBDKIT_H

#include "server/block/layer.h"

extern const struct layer_ops nbdkit_ops;

#endif
