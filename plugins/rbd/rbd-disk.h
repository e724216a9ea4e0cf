/* An RBD image: how it is named, opened, locked and closed.  All of it blocks.
 *
 * Locks.  librbd's exclusive lock belongs to one client of the cluster at a time, and no other can
 * write. By itself librbd hands it over to whoever asks; one that was taken explicitly it keeps
 * until the image is closed.  A client that was killed keeps it until the cluster gives the client
 * up (30 seconds); then that client is blocked for ever, so that what it had sent can't arrive
 * late.
 *
 * A client is a connection to the cluster, and each image has one of its own: when a lock is
 * broken, its holder is blocked, and with it all images that shared the connection. */
#ifndef NBDCRYPT_RBD_DISK_H
#define NBDCRYPT_RBD_DISK_H

#include "plugins/rbd/rbd-library.h"
#include "server/block/layer.h"

struct rbd_parameters {
    const char *conf;    /* NULL: where Ceph looks for it */
    const char *id;      /* NULL: "admin" */
    const char *keyring; /* NULL: as the configuration says */
    const char *lock;    /* "exclusive" or "shared" */
    unsigned lock_wait_s;
    unsigned connect_timeout_s;
    unsigned timeout_s; /* 0: none */
    bool cache;
};

extern const struct param rbd_params[];

#define RBD_ID_BYTES 128

struct rbd_disk {
    struct rbd_parameters given;
    char *parameter_text;                                 /* what `given` points into */
    char *name;                                           /* for messages */
    char *pool_name, *name_space, *image_name, *snapshot; /* name_space, snapshot: NULL for none */

    rados_t cluster; /* these three: NULL unless open */
    rados_ioctx_t pool;
    rbd_image_t image;
    uint64_t size_bytes; /* when it was opened */
    uint64_t object_bytes;
    uint64_t stripe_bytes; /* what starts at a multiple of it lies in one object */
    uint64_t snapshot_id;  /* as the cluster counts them; LIBRADOS_SNAP_HEAD: none */
    char id[RBD_ID_BYTES]; /* its objects are named by it */
    bool read_only;
    bool cached;    /* a completed write may be in memory only, until a flush */
    bool fast_diff; /* which objects exist is known without asking for each */
    bool exclusive; /* the lock is held, and kept */
};

/* Parses, connects, opens, and locks as `settings` and "lock=" ask.  -errno with a message: no
 * configuration, no monitor that answers, a key that is refused, no such pool, image or snapshot,
 * another client's lock, ...  `disk` is zeroed by the caller, who calls rbd_disk_close() in every
 * case. */
NODISCARD int rbd_disk_open(struct rbd_disk *disk, const struct stage_settings *settings,
                            struct error *err);
/* Of an image, without its snapshot, in the cluster that "conf=" names; see layer_ops.identify. */
char *rbd_disk_identify(const struct stage_settings *settings);
/* Gives the lock back.  Nothing is in flight. */
void rbd_disk_close(struct rbd_disk *disk);

#endif
