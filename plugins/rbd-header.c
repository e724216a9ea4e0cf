#include "plugins/rbd-presence.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "server/log.h"

#define LOOK_MS 1000u
#define CLOSE_POLL_MS 5u

void rbd_presence_init(struct rbd_presence *presence, const char *name, rados_ioctx_t pool,
                       rbd_image_t image)
{
    char id[128];

    presence->name = name;
    presence->pool = pool;
    if (ceph.rbd_get_id(image, id, sizeof id) == 0)
        snprintf(presence->header, sizeof presence->header, "rbd_header.%s", id);
}

void rbd_presence_close(struct rbd_presence *presence)
{
    struct timespec step = { .tv_nsec = CLOSE_POLL_MS * 1000000L };

    while (atomic_load(&presence->looking))
        nanosleep(&step, NULL);
}

/* A thread of librados's. */
static void looked(rados_completion_t completion, void *context)
{
    struct rbd_presence *presence = context;
    int code = ceph.rados_aio_get_return_value(completion);

    ceph.rados_aio_release(completion);
    if (code == -ENOENT && !atomic_exchange(&presence->gone, true))
        log_error("%s: it was removed from the cluster while it was served; requests fail from now on",
                  presence->name);
    atomic_store(&presence->looking, false);
}

static void look(struct rbd_presence *presence)
{
    rados_completion_t completion;

    if (ceph.rados_aio_create_completion2(presence, looked, &completion) == 0) {
        if (ceph.rados_aio_stat(presence->pool, presence->header, completion, NULL, NULL) == 0)
            return;
        ceph.rados_aio_release(completion);
    }
    atomic_store(&presence->looking, false);
}

bool rbd_presence_check(struct rbd_presence *presence)
{
    struct timespec now;

    if (atomic_load_explicit(&presence->gone, memory_order_relaxed))
        return false;
    if (presence->header[0] == '\0')
        return true;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    uint64_t now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    if (now_ms - atomic_load_explicit(&presence->looked_ms, memory_order_relaxed) < LOOK_MS ||
        atomic_exchange(&presence->looking, true))
        return true;
    atomic_store_explicit(&presence->looked_ms, now_ms, memory_order_relaxed);
    look(presence);
    return true;
}
