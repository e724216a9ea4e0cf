/* librbd and librados, loaded when the first RBD image is opened and not before: they and what they
 * need take longer to load than all the rest of the program, and a machine without them runs it all
 * the same.
 *
 * Functions are called as `ceph.rbd_open(...)`; their types are those of the libraries' headers. */
#ifndef NBDCRYPT_RBD_LIBRARY_H
#define NBDCRYPT_RBD_LIBRARY_H

#include <rados/librados.h>
#include <rbd/librbd.h>

#include "server/base/error.h"

#define RBD_FUNCTIONS(X)             \
    X(rbd_aio_create_completion)     \
    X(rbd_aio_discard)               \
    X(rbd_aio_flush)                 \
    X(rbd_aio_get_return_value)      \
    X(rbd_aio_read)                  \
    X(rbd_aio_release)               \
    X(rbd_aio_write)                 \
    X(rbd_aio_write_zeroes)          \
    X(rbd_close)                     \
    X(rbd_config_image_list)         \
    X(rbd_config_image_list_cleanup) \
    X(rbd_diff_iterate2)             \
    X(rbd_get_features)              \
    X(rbd_get_flags)                 \
    X(rbd_get_id)                    \
    X(rbd_get_stripe_unit)           \
    X(rbd_lock_acquire)              \
    X(rbd_open)                      \
    X(rbd_open_read_only)            \
    X(rbd_snap_get_id)               \
    X(rbd_stat)                      \
    X(rbd_update_unwatch)            \
    X(rbd_update_watch)              \
    X(rbd_watchers_list)             \
    X(rbd_watchers_list_cleanup)

#define RADOS_FUNCTIONS(X)          \
    X(rados_aio_create_completion2) \
    X(rados_aio_exec)               \
    X(rados_aio_get_return_value)   \
    X(rados_aio_release)            \
    X(rados_conf_read_file)         \
    X(rados_conf_set)               \
    X(rados_connect)                \
    X(rados_create)                 \
    X(rados_get_instance_id)        \
    X(rados_ioctx_create)           \
    X(rados_ioctx_destroy)          \
    X(rados_ioctx_set_namespace)    \
    X(rados_shutdown)

struct rbd_library {
#define RBD_MEMBER(name) __typeof__(name) *name;
    RBD_FUNCTIONS(RBD_MEMBER)
    RADOS_FUNCTIONS(RBD_MEMBER)
#undef RBD_MEMBER
};

extern struct rbd_library ceph;

/* Once; it stays.  Main thread.  -ENOENT with a sentence where the libraries are missing or too
 * old. */
NODISCARD int rbd_library_load(struct error *err);

#endif
