/* rbd: an image in a Ceph cluster.
 *
 *     worker: submit -> rbd_aio_* .... librbd's thread: answered -> loop_post .... worker: returned
 *
 * One image handle serves all workers.  librbd keeps no worker waiting: its calls queue, and
 * threads of its own answer.  (Its other way to tell, an eventfd and rbd_poll_io_events(), costs
 * the same, and takes a thread that hands the answers on to the workers.) */
#include "plugins/rbd/rbd.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/rbd/rbd-disk.h"
#include "plugins/rbd/rbd-header.h"
#include "server/block/group-sync.h"
#include "server/base/log.h"
#include "server/base/threads.h"
#include "server/base/zeros.h"
#include "server/report/report-tree.h"

#define LOCK_RETRY_MS 50u
#define LOCK_RETRIES_MAX 1200u /* a minute */

struct rbd_stage {
    struct stage stage;
    struct group_sync sync; /* of an image with a cache, which tells of a write that failed once */
    struct rbd_disk disk;
    struct rbd_header header;
    bool has_header;        /* it was initialised */
    struct offload *helper; /* a thread for what librbd can only do while we wait */
    atomic_int trouble;     /* the last error that was told; 0: all is well */
    uint64_t watch;         /* tells of resizes; 0: none */
};

struct rbd_layer {
    struct layer layer;
    struct rbd_stage *rbd;
    /* What waits for another client to hand the lock back (lock=shared). */
    struct request *waiting;
    struct loop_timer retry;
    bool retry_armed;
};

/* ---- opening ---- */

/* librbd's thread, where it may not be asked anything. */
static void image_changed(void *context)
{
    struct rbd_stage *rbd = context;

    rbd_header_look(&rbd->header);
}

static int watch_start(struct rbd_stage *rbd, struct error *err)
{
    int result = ceph.rbd_update_watch(rbd->disk.image, &rbd->watch, image_changed, rbd);

    if (result < 0)
        return error_set(err, result, "resizes of it can't be watched: %s", strerror(-result));
    rbd_header_look(&rbd->header); /* what happened since it was opened */
    return 0;
}

static char *rbd_identify(const char *scheme, const struct stage_settings *settings)
{
    (void)scheme;
    return rbd_disk_identify(settings);
}

static void rbd_stage_close(struct stage *stage)
{
    struct rbd_stage *rbd = container_of(stage, struct rbd_stage, stage);

    if (rbd->watch != 0)
        ceph.rbd_update_unwatch(rbd->disk.image, rbd->watch);
    offload_destroy(rbd->helper);
    if (rbd->has_header)
        rbd_header_close(&rbd->header);
    rbd_disk_close(&rbd->disk);
    group_sync_destroy(&rbd->sync);
    free(rbd);
}

static struct limits limits_of(const struct rbd_disk *disk, bool has_helper)
{
    struct limits limits = {
        .size_bytes = disk->size_bytes,
        .block_min_bytes = 1,
        .block_preferred_bytes = 4096,
        .phase_bytes = 1,
        .ops = OP_BIT(REQUEST_READ) | OP_BIT(REQUEST_WRITE) | OP_BIT(REQUEST_FLUSH) |
               OP_BIT(REQUEST_TRIM) | OP_BIT(REQUEST_ZERO),
        .fua = true,
        .read_only = disk->read_only,
        .multi_conn = true, /* one handle: its flush covers every connection's writes */
    };

    if (has_helper)
        limits.ops |= OP_BIT(REQUEST_EXTENTS);
    limits.tells_zeros = has_helper;
    return limits;
}

static void sync_start(struct request *leader, uint64_t start_bytes, uint64_t end_bytes);

/* Without a cache every write is told of its own failure. */
static int add_sync(struct rbd_stage *rbd, bool serves, struct error *err)
{
    if (!rbd->disk.cached || rbd->disk.read_only)
        return 0;
    rbd->stage.sync = &rbd->sync;
    return group_sync_init(&rbd->sync, serves ? rbd->disk.name : NULL, sync_start, err);
}

static int rbd_stage_open(struct stage **out, const struct stage_settings *settings,
                          struct error *err)
{
    struct rbd_stage *rbd = calloc(1, sizeof *rbd);
    bool serves = settings->options.offload != NULL;

    if (rbd == NULL)
        return error_no_memory(err, NULL);
    rbd->stage.ops = &rbd_ops;
    thread_is_within("librbd", "opening an image");
    int result = rbd_disk_open(&rbd->disk, settings, err);
    thread_is_within(NULL, NULL);
    if (result == 0) {
        rbd->stage.limits = limits_of(&rbd->disk, serves);
        rbd_header_init(&rbd->header, &rbd->disk);
        rbd->has_header = true;
    }
    if (result == 0)
        result = add_sync(rbd, serves, err);
    if (result == 0 && serves)
        result = offload_create(&rbd->helper, 1, 0, err);
    if (result == 0 && serves && rbd->disk.snapshot == NULL)
        result = watch_start(rbd, err);
    if (result < 0) {
        rbd_stage_close(&rbd->stage);
        return result;
    }
    *out = &rbd->stage;
    return 0;
}

/* ---- requests, in order of execution ---- */

static void start(struct request *req);
static int dispatch(struct request *req, rbd_completion_t completion);
static void answered(rbd_completion_t completion, void *context);
static void returned(struct io_event *ev, int result);
static bool has_hole(const struct rbd_disk *disk, const struct view *view);
static void confirm(struct request *req);
static void confirmed(struct io_event *ev, int result);
static void succeed(struct request *req);
static void finish(struct request *req, int error);
static void fail(struct request *req, int code);
static void wait_for_lock(struct rbd_layer *rbd, struct request *req);
static void retry(struct io_event *ev, int result);
static void extents_start(struct request *req);

static struct rbd_layer *layer_of(const struct request *req)
{
    return container_of(req->backend, struct rbd_layer, layer);
}

static bool is_change(enum request_op op)
{
    return op == REQUEST_WRITE || op == REQUEST_TRIM || op == REQUEST_ZERO;
}

enum rbd_step { STEP_FIRST, STEP_FLUSH };

static void rbd_submit(struct layer *layer, struct request *req)
{
    req->backend = layer;
    req->backend_step = STEP_FIRST;
    req->progress_bytes = 0; /* counts the retries */
    if (!rbd_header_is_there(&layer_of(req)->rbd->header))
        fail(req, -ENOENT);
    else if (req->view.op == REQUEST_EXTENTS)
        extents_start(req);
    else if (req->view.op == REQUEST_FLUSH && layer_of(req)->rbd->disk.read_only)
        request_complete(req, 0); /* there is nothing to flush, and librbd might ask for the lock */
    else if (req->view.op == REQUEST_FLUSH && layer->stage->sync != NULL)
        group_sync_join(req);
    else
        start(req);
}

/* librbd cuts off what reaches across the end, and says that all is done.  A write that is under
 * way while the image is being cut counts as done before. */
static bool is_inside(const struct rbd_stage *rbd, const struct view *view)
{
    uint64_t size_bytes = atomic_load_explicit(&rbd->header.size_bytes, memory_order_relaxed);

    return view->op == REQUEST_FLUSH || view->offset_bytes + view->length_bytes <= size_bytes;
}

static void start(struct request *req)
{
    struct rbd_layer *rbd = layer_of(req);
    rbd_completion_t completion;

    if (req->backend_step == STEP_FIRST && !is_inside(rbd->rbd, &req->view)) {
        request_complete(req, is_change(req->view.op) ? ENOSPC : EIO);
        return;
    }
    int result = ceph.rbd_aio_create_completion(req, answered, &completion);
    if (result == 0) {
        req->job.done.event.fn = returned;
        result = dispatch(req, completion);
        if (result < 0)
            ceph.rbd_aio_release(completion);
    }
    if (result < 0)
        fail(req, result);
}

static int dispatch(struct request *req, rbd_completion_t completion)
{
    const struct view *view = &req->view;
    rbd_image_t image = layer_of(req)->rbd->disk.image;

    if (req->backend_step == STEP_FLUSH)
        return ceph.rbd_aio_flush(image, completion);
    switch (view->op) {
    case REQUEST_READ:
        return ceph.rbd_aio_read(image, view->offset_bytes, view->length_bytes, (char *)view->data,
                                 completion);
    case REQUEST_WRITE:
        return ceph.rbd_aio_write(image, view->offset_bytes, view->length_bytes,
                                  (const char *)view->data, completion);
    case REQUEST_TRIM:
        return ceph.rbd_aio_discard(image, view->offset_bytes, view->length_bytes, completion);
    case REQUEST_ZERO: /* not discard, which leaves alone what is smaller than its granularity */
        return ceph.rbd_aio_write_zeroes(
            image, view->offset_bytes, view->length_bytes, completion,
            req->flags & REQUEST_MAY_TRIM ? 0 : RBD_WRITE_ZEROES_FLAG_THICK_PROVISION, 0);
    case REQUEST_FLUSH:
        return ceph.rbd_aio_flush(image, completion);
    case REQUEST_CACHE:
    case REQUEST_EXTENTS:
    case REQUEST_OP_COUNT:
        break;
    }
    assert(false && "an operation that limits.ops does not list");
    return -EINVAL;
}

/* librbd's thread.  It holds on to the data of a write for as long as it may read it, and answers
 * then. */
static void answered(rbd_completion_t completion, void *context)
{
    struct request *req = context;

    req->job.done.result = (int)ceph.rbd_aio_get_return_value(completion);
    ceph.rbd_aio_release(completion);
    loop_post(req->backend->loop, &req->job.done);
}

static void returned(struct io_event *ev, int result)
{
    struct request *req = container_of(ev, struct request, job.done.event);
    struct rbd_layer *rbd = layer_of(req);
    const struct view *view = &req->view;

    if (result == -EROFS && !rbd->rbd->disk.exclusive) { /* a FLUSH takes the lock as well */
        wait_for_lock(rbd, req);
        return;
    }
    if (result >= 0 && view->op == REQUEST_READ && (uint32_t)result != view->length_bytes)
        result = -EIO; /* it was cut meanwhile */
    if (result < 0)
        fail(req, result);
    else if (view->op == REQUEST_READ && has_hole(&rbd->rbd->disk, view))
        confirm(req);
    else
        succeed(req);
}

/* All that was read of some object is zeros, as of one that is not there. */
static bool has_hole(const struct rbd_disk *disk, const struct view *view)
{
    uint64_t at_bytes = view->offset_bytes, end_bytes = at_bytes + view->length_bytes;

    while (at_bytes < end_bytes) {
        uint64_t stop_bytes = (at_bytes / disk->stripe_bytes + 1) * disk->stripe_bytes;

        if (stop_bytes > end_bytes)
            stop_bytes = end_bytes;
        if (zeros_only(view->data + (at_bytes - view->offset_bytes), stop_bytes - at_bytes))
            return true;
        at_bytes = stop_bytes;
    }
    return false;
}

/* Zeros are not answered before it is known that the image is there. */
static void confirm(struct request *req)
{
    struct rbd_layer *rbd = layer_of(req);

    req->job.loop = rbd->layer.loop;
    req->job.done.event.fn = confirmed;
    rbd_header_confirm(&rbd->rbd->header, &req->job);
}

static void confirmed(struct io_event *ev, int result)
{
    struct request *req = container_of(ev, struct request, job.done.event);

    if (result == 0 && !is_inside(layer_of(req)->rbd, &req->view))
        result = -EIO; /* it was cut meanwhile */
    if (result < 0)
        fail(req, result);
    else
        succeed(req);
}

static void succeed(struct request *req)
{
    struct rbd_stage *rbd = layer_of(req)->rbd;

    if (atomic_load_explicit(&rbd->trouble, memory_order_relaxed) != 0 &&
        atomic_exchange(&rbd->trouble, 0) != 0)
        log_write_of(LOG_WARNING, rbd->disk.name, "it answers again");
    if (is_change(req->view.op) && (req->flags & REQUEST_FUA) && rbd->stage.sync != NULL &&
        req->backend_step == STEP_FIRST)
        group_sync_join(req); /* FUA behind a cache */
    else
        finish(req, 0);
}

static void finish(struct request *req, int error)
{
    if (req->backend_step == STEP_FLUSH)
        group_sync_ended(req, error);
    else
        request_complete(req, error);
}

static void sync_start(struct request *leader, uint64_t start_bytes, uint64_t end_bytes)
{
    (void)start_bytes;
    (void)end_bytes;
    leader->backend_step = STEP_FLUSH;
    start(leader);
}

/* ---- errors ---- */

static const char *advice(const struct rbd_disk *disk, int result)
{
    if (result == -ESHUTDOWN)
        return "; the cluster has blocked this server, as it does with one whose lock is broken by "
               "another client: nothing can be read or written before it is started again";
    if (result == -EROFS)
        return disk->exclusive ? "; its lock was lost" : "; another client has its lock";
    if (result == -ENOENT)
        return "; the image was removed";
    if (result == -ETIMEDOUT && disk->given.timeout_s > 0)
        return "; the cluster did not answer in time (timeout=)";
    return "";
}

/* A client can't do anything about what is between us and the cluster: it is told of an I/O error,
 * the log of the cause, once. */
static void fail(struct request *req, int result)
{
    static const char *const names[REQUEST_OP_COUNT] = {
        [REQUEST_READ] = "reading",   [REQUEST_WRITE] = "writing",
        [REQUEST_FLUSH] = "flushing", [REQUEST_TRIM] = "trimming",
        [REQUEST_ZERO] = "zeroing",   [REQUEST_EXTENTS] = "looking for data",
    };
    struct rbd_stage *rbd = layer_of(req)->rbd;

    if (atomic_exchange(&rbd->trouble, result) != result)
        log_write_of(LOG_ERROR, rbd->disk.name, "%s at byte %llu failed: %s%s", names[req->view.op],
                     (unsigned long long)req->view.offset_bytes, strerror(-result),
                     advice(&rbd->disk, result));
    finish(req, result == -ENOSPC || result == -EDQUOT || result == -ENOMEM ? -result : EIO);
}

/* ---- lock=shared: who has the lock gives it back, or the time is over ---- */

static void wait_for_lock(struct rbd_layer *rbd, struct request *req)
{
    if (req->progress_bytes++ == LOCK_RETRIES_MAX) {
        fail(req, -EROFS);
        return;
    }
    req->next = rbd->waiting;
    rbd->waiting = req;
    if (!rbd->retry_armed) {
        rbd->retry_armed = true;
        loop_timer_start(rbd->layer.loop, &rbd->retry, LOCK_RETRY_MS);
    }
}

static void retry(struct io_event *ev, int result)
{
    struct rbd_layer *rbd = container_of(ev, struct rbd_layer, retry.event);
    struct request *req = rbd->waiting;

    (void)result;
    rbd->retry_armed = false;
    rbd->waiting = NULL;
    while (req != NULL) {
        struct request *next = req->next;

        start(req);
        req = next;
    }
}

/* ---- extents ---- */

struct extent_walk {
    struct extent_list *list;
    uint64_t at_bytes, end_bytes;
    bool one;
};

static bool walk_to(struct extent_walk *walk, uint64_t to_bytes, uint32_t flags)
{
    if (to_bytes > walk->end_bytes)
        to_bytes = walk->end_bytes;
    if (to_bytes <= walk->at_bytes)
        return true;
    bool room = extent_list_add(walk->list, to_bytes - walk->at_bytes, flags);
    walk->at_bytes = to_bytes;
    return room && !(walk->one && walk->list->count > 1);
}

/* What is not told of is a hole. */
static int walk_extent(uint64_t offset_bytes, size_t length_bytes, int exists, void *context)
{
    struct extent_walk *walk = context;

    if (!walk_to(walk, offset_bytes, EXTENT_HOLE | EXTENT_ZERO) ||
        !walk_to(walk, offset_bytes + length_bytes, exists ? 0 : EXTENT_HOLE | EXTENT_ZERO))
        return -ECANCELED;
    return 0;
}

/* Without a fast diff each object is asked for by itself, and a thread is busy with that. */
static uint64_t extents_end(const struct view *view, bool fast_diff)
{
    uint64_t most_bytes = fast_diff ? view->length_bytes : REQUEST_BYTES_MAX;

    return view->offset_bytes + (view->length_bytes < most_bytes ? view->length_bytes : most_bytes);
}

/* From the start of an object: librbd before 2022 told wrong offsets otherwise. */
static void extents_work(struct offload_job *job)
{
    struct request *req = container_of(job, struct request, job);
    const struct rbd_disk *disk = &layer_of(req)->rbd->disk;
    struct extent_walk walk = {
        .list = (struct extent_list *)(void *)req->view.data,
        .at_bytes = req->view.offset_bytes,
        .end_bytes = extents_end(&req->view, disk->fast_diff),
        .one = req->flags & REQUEST_ONE,
    };
    uint64_t from_bytes = walk.at_bytes / disk->object_bytes * disk->object_bytes;
    int result = ceph.rbd_diff_iterate2(disk->image, NULL, from_bytes, walk.end_bytes - from_bytes,
                                        1, disk->fast_diff, walk_extent, &walk);

    if (result >= 0)
        (void)walk_to(&walk, walk.end_bytes, EXTENT_HOLE | EXTENT_ZERO);
    job->done.result = walk.list->count > 0 ? 0 : result;
}

static bool tells_of_zeros(const struct extent_list *list)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (list->extents[i].flags & EXTENT_ZERO)
            return true;
    return false;
}

static void extents_done(struct io_event *ev, int result)
{
    struct request *req = container_of(ev, struct request, job.done.event);

    if (result < 0)
        fail(req, result);
    else if (tells_of_zeros((const struct extent_list *)(void *)req->view.data))
        confirm(req);
    else
        succeed(req);
}

static void extents_start(struct request *req)
{
    struct rbd_layer *rbd = layer_of(req);

    if (!is_inside(rbd->rbd, &req->view)) {
        request_complete(req, EIO);
        return;
    }
    req->job.work = extents_work;
    req->job.done.event.fn = extents_done;
    req->job.loop = rbd->layer.loop;
    offload_run(rbd->rbd->helper, &req->job);
}

/* ---- one worker ---- */

static int rbd_attach(struct layer **out, struct stage *stage, struct layer *below,
                      struct loop *loop, struct error *err)
{
    struct rbd_layer *rbd = calloc(1, sizeof *rbd);

    if (rbd == NULL)
        return error_no_memory(err, NULL);
    rbd->layer = (struct layer){ .ops = &rbd_ops, .stage = stage, .below = below, .loop = loop };
    rbd->rbd = container_of(stage, struct rbd_stage, stage);
    rbd->retry.event.fn = retry;
    *out = &rbd->layer;
    return 0;
}

static void rbd_detach(struct layer *layer)
{
    struct rbd_layer *rbd = container_of(layer, struct rbd_layer, layer);

    assert(rbd->waiting == NULL && !rbd->retry_armed); /* it runs as long as one waits */
    free(rbd);
}

static void rbd_report(const struct stage *stage, struct report_tree *tree, struct report_node *of)
{
    const struct rbd_stage *rbd = container_of(stage, struct rbd_stage, stage);
    int trouble = atomic_load(&rbd->trouble);

    report_text(tree, of, "pool", rbd->disk.pool_name);
    report_text(tree, of, "image_id", rbd->disk.id);
    report_text(tree, of, "snapshot", rbd->disk.snapshot);
    report_text(tree, of, "lock", rbd->disk.given.lock);
    report_flag(tree, of, "cached", rbd->disk.cached);
    report_number(tree, of, "object_bytes", rbd->disk.object_bytes);
    if (trouble != 0)
        report_text(tree, of, "trouble", strerrorname_np(trouble < 0 ? -trouble : trouble));
}

const struct layer_ops rbd_ops = {
    .name = "rbd",
    .description = "rbd:POOL/IMAGE[@SNAP], an image in a Ceph cluster",
    .params = rbd_params,
    .open = rbd_stage_open,
    .attach = rbd_attach,
    .submit = rbd_submit,
    .detach = rbd_detach,
    .close = rbd_stage_close,
    .report = rbd_report,
    .identify = rbd_identify,
};
