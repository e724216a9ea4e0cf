/* A part of an image: a partition, or what lies at an offset.  Right above the backend, so that all
 * above it, and all commands, see an image that is that part. */
#ifndef NBDCRYPT_WINDOW_LAYER_H
#define NBDCRYPT_WINDOW_LAYER_H

#include "server/block/layer.h"

/* A stage over `below`, which it owns from then on if this succeeds.  The range lies in it and is
 * not empty. -EINVAL: `below` can't be addressed by so few bytes. */
NODISCARD int window_stage_create(struct stage **out, struct stage *below,
                                  const struct byte_range *range, struct error *err);

#endif
