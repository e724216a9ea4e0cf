/* The options about locks, for every table of a command that needs an image for itself. */
#ifndef NBDCRYPT_LOCK_PARAMS_H
#define NBDCRYPT_LOCK_PARAMS_H

#include "server/block/layer.h"
#include "server/base/params.h"

/* The rows; `target` has a struct lock_terms as its member `field`. */
#define LOCK_ROWS(target, field)                                                          \
    { .name = "force-in-use",                                                             \
      .type = PARAM_FLAG,                                                                 \
      .offset = offsetof(target, field.force_in_use),                                     \
      .help = "go on although the image is mounted, or another program has it" },         \
    {                                                                                     \
        .name = "no-lock", .type = PARAM_FLAG, .offset = offsetof(target, field.no_lock), \
        .help = "go on where the storage can't lock the image"                            \
    }

#endif
