/* Whether an image that is served is still there.
 *
 * `rbd rm` refuses to remove one, but its objects can be removed under it.  librbd does not notice: it takes
 * what is missing for holes, and answers zeros.  So its header is looked at now and then, while there are
 * requests. */
#ifndef NBDCRYPT_RBD_PRESENCE_H
#define NBDCRYPT_RBD_PRESENCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "plugins/rbd-library.h"

/* Zeroed at first. */
struct rbd_presence {
    const char *name;    /* for messages */
    rados_ioctx_t pool;
    char header[256];    /* the object; "": an old kind of image, which is not looked after */
    atomic_bool gone;
    atomic_bool looking; /* the cluster has been asked */
    atomic_uint_fast64_t looked_ms;
};

/* Of an open image; `name` and the others must outlive it. */
void rbd_presence_init(struct rbd_presence *presence, const char *name, rados_ioctx_t pool,
                       rbd_image_t image);
/* The last answer has come. */
void rbd_presence_close(struct rbd_presence *presence);

/* Any thread, before each request: false when the image is known to have been removed.  Asks the cluster
 * at most once a second, and does not wait for the answer. */
bool rbd_presence_check(struct rbd_presence *presence);

#endif
