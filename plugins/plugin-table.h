/* The backends that are built in. */
#ifndef NBDCRYPT_PLUGIN_TABLE_H
#define NBDCRYPT_PLUGIN_TABLE_H

#include "server/block/layer.h"

/* In the order of messages and --help; ends with NULL. */
extern const struct layer_ops *const plugin_table[];

#endif
