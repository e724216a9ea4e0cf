/* The options about locks, for every table of a command that needs an image for itself. */
#ifndef NBDCRYPT_LOCK_PARAMS_H
#define NBDCRYPT_LOCK_PARAMS_H

#include "server/block/layer.h"
#include "server/base/params.h"

/* The rows; `target` has a struct lock_terms as its member `field`, and `...` are further members
 * of each row. */
#define LOCK_ROWS(target, field, ...)                                                    \
    PARAM_AT(offsetof(target, field.force_in_use), "force-in-use", FLAG, NULL,           \
             "go on although the image is mounted, or another program has it",           \
             .never_proposed = true, __VA_ARGS__),                                       \
        PARAM_AT(offsetof(target, field.no_lock), "no-lock", FLAG, NULL,                 \
                 "go on where the storage can't lock the image", .never_proposed = true, \
                 __VA_ARGS__)

#endif
