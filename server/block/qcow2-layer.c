#include "server/block/qcow2-layer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/cipher/cipher.h"
#include "server/base/log.h"
#include "server/block/qcow2-clusters.h"
#include "server/block/qcow2-parts.h"
#include "server/block/qcow2-slices.h"
#include "server/qcow2/qcow2-bytes.h"
#include "server/qcow2/qcow2-inflate.h"

#define OPERATIONS 64u      /* requests of one worker that are at work; others wait */
#define LOOKS_MAX 131072u   /* entries of L2 that one EXTENTS looks at, about */
#define L1_LOOKS_MAX 65536u /* and entries of L1 without a table */
#define BACKING_EXTENTS 16u
#define SECTOR_BYTES 512u

/* A request that is at work. */
struct operation {
    struct qcow2_layer *owner;
    struct request *request; /* whose answer it is */
    uint64_t at_bytes, end_bytes;
    struct qcow2_run run;       /* at at_bytes, while something is waited for */
    struct request sub;         /* to the file or the backing file */
    struct qcow2_waiter waiter; /* for a slice or a cluster */
    int error;
    unsigned looks, l1_looks;
    bool running, again, finished;
    struct operation *next;
    union {
        struct extent_list list; /* of the backing file */
        uint8_t bytes[sizeof(struct extent_list) + BACKING_EXTENTS * sizeof(struct extent)];
    } extents;
};

struct qcow2_layer {
    struct layer layer;
    struct qcow2_stage *owner;
    struct layer *backing; /* owned; NULL: none */
    struct cipher *cipher; /* this worker's own; NULL: not encrypted */
    struct qcow2_slices *slices;
    struct qcow2_clusters *clusters;
    struct operation *free;
    struct request *waiting, **waiting_end; /* for an operation */
    bool starting;
    struct operation operations[OPERATIONS];
};

static void operation_run(struct operation *op);
static void step(struct operation *op);
static void finish(struct operation *op, int error);

static struct qcow2_layer *layer_of(struct layer *layer)
{
    return container_of(layer, struct qcow2_layer, layer);
}

/* ---- faults of the image ---- */

/* One is told: an image that has one may have as many as it has clusters. */
static void tell(atomic_bool *told, const struct operation *op, const char *fault)
{
    if (!atomic_exchange(told, true))
        log_warning("image '%s': byte %" PRIu64 " of its disk can't be read: %s; reads of such "
                    "places fail (others are not told)",
                    op->owner->owner->name, op->at_bytes, fault);
}

/* ---- where data is ---- */

/* Nothing is allocated for a whole entry of L1, and perhaps for the next ones. */
static void run_without_table(struct operation *op, uint64_t l1_index)
{
    const struct qcow2_image *image = &op->owner->owner->image;
    const struct qcow2_map *map = &image->map;
    uint64_t left = op->end_bytes - op->at_bytes;
    uint64_t length = qcow2_map_l1_left_bytes(map, op->at_bytes);

    for (unsigned i = 1; length < left && op->l1_looks < L1_LOOKS_MAX; i++, op->l1_looks++) {
        uint64_t slice_bytes;
        bool table = l1_index + i < map->l1_entries &&
                     (qcow2_map_slice(&slice_bytes, map, be64toh(image->l1[l1_index + i]),
                                      op->at_bytes + length) != NULL ||
                      slice_bytes != 0);

        if (table)
            break;
        length += qcow2_map_l1_left_bytes(map, op->at_bytes + length);
    }
    op->run = (struct qcow2_run){ .kind = QCOW2_UNALLOCATED,
                                  .length_bytes = length < left ? length : left };
}

/* Sets op->run; false: it is waited for, or `op` has finished. */
static bool find_run(struct operation *op)
{
    struct qcow2_layer *qcow2 = op->owner;
    const struct qcow2_image *image = &qcow2->owner->image;
    uint64_t l1_index = qcow2_map_l1_index(&image->map, op->at_bytes);
    uint64_t slice_bytes = 0;
    const uint8_t *slice = NULL;
    const char *fault = NULL;

    if (l1_index < image->map.l1_entries)
        fault =
            qcow2_map_slice(&slice_bytes, &image->map, be64toh(image->l1[l1_index]), op->at_bytes);
    if (fault == NULL && slice_bytes == 0) {
        run_without_table(op, l1_index);
        return true;
    }
    if (fault == NULL) {
        slice = qcow2_slices_find(qcow2->slices, slice_bytes);
        if (slice == NULL) {
            qcow2_slices_load(qcow2->slices, slice_bytes, &op->waiter);
            return false;
        }
        fault = qcow2_map_look(&op->run, &image->map, slice, op->at_bytes,
                               op->end_bytes - op->at_bytes);
        op->looks += (unsigned)(op->run.length_bytes >> image->map.cluster_bits);
    }
    if (fault != NULL) {
        tell(&qcow2->owner->fault_told, op, fault);
        finish(op, EIO);
    }
    return fault == NULL;
}

/* What waited goes on; it was damaged data if that is what is said. */
static void waited(struct qcow2_waiter *waiter, int error)
{
    struct operation *op = container_of(waiter, struct operation, waiter);

    if (error == EILSEQ) {
        tell(&op->owner->owner->inflate_told, op, "a compressed cluster can't be inflated");
        error = EIO;
    }
    op->error = error;
    operation_run(op);
}

/* ---- reads ---- */

static uint8_t *data_of(const struct operation *op)
{
    const struct view *view = &op->request->view;

    return view->data + (op->at_bytes - view->offset_bytes);
}

/* How much of the run is in the file: the last cluster may be cut. */
static uint64_t bytes_in_file(const struct operation *op)
{
    uint64_t file_bytes = op->owner->owner->image.map.file_bytes;
    uint64_t left = op->run.host_bytes < file_bytes ? file_bytes - op->run.host_bytes : 0;

    return op->run.length_bytes < left ? op->run.length_bytes : left;
}

static void decrypt(struct operation *op)
{
    struct qcow2_layer *qcow2 = op->owner;
    bool by_host = qcow2->owner->image.header.crypt == QCOW2_CRYPT_LUKS;

    if (qcow2->cipher != NULL)
        cipher_decrypt(qcow2->cipher, (by_host ? op->run.host_bytes : op->at_bytes) / SECTOR_BYTES,
                       data_of(op), op->run.length_bytes);
}

/* So much has been read; behind the end of a file are zeros. */
static void take_data(struct operation *op, uint64_t length_bytes)
{
    memset(data_of(op) + length_bytes, 0, op->run.length_bytes - length_bytes);
    if (op->run.kind == QCOW2_DATA)
        decrypt(op);
    op->at_bytes += op->run.length_bytes;
}

static void read_done(struct layer *owner, struct request *req)
{
    struct operation *op = container_of(req, struct operation, sub);

    (void)owner;
    op->error = req->error;
    if (req->error == 0)
        take_data(op, req->view.length_bytes);
    operation_run(op);
}

static void read_from(struct operation *op, struct layer *from, uint64_t offset_bytes,
                      uint64_t length_bytes)
{
    op->sub = (struct request){
        .buffer = op->request->buffer,
        .view = { .op = REQUEST_READ,
                  .offset_bytes = offset_bytes,
                  .length_bytes = length_bytes,
                  .data = data_of(op) },
    };
    request_push(&op->sub, NULL, read_done);
    layer_submit(from, &op->sub);
}

/* True: it is done. */
static bool read_data(struct operation *op)
{
    uint64_t length_bytes = bytes_in_file(op);

    if (length_bytes > 0)
        read_from(op, op->owner->layer.below, op->run.host_bytes, length_bytes);
    else
        take_data(op, 0);
    return length_bytes == 0;
}

/* True: it is done. */
static bool read_unallocated(struct operation *op)
{
    struct layer *backing = op->owner->backing;
    uint64_t size_bytes = backing != NULL ? limits_size_bytes(&backing->stage->limits) : 0;
    uint64_t length_bytes = op->run.length_bytes;

    if (op->at_bytes >= size_bytes) {
        take_data(op, 0);
        return true;
    }
    if (length_bytes > size_bytes - op->at_bytes)
        length_bytes = size_bytes - op->at_bytes;
    read_from(op, backing, op->at_bytes, length_bytes);
    return false;
}

/* True: it is done. */
static bool read_compressed(struct operation *op)
{
    struct qcow2_layer *qcow2 = op->owner;
    uint32_t cluster_bytes = qcow2_map_cluster_bytes(&qcow2->owner->image.map);
    const uint8_t *cluster = qcow2_clusters_find(qcow2->clusters, op->run.host_bytes);
    const char *lacks = qcow2_inflate_lacks(qcow2->owner->image.header.zstd);

    if (lacks != NULL) {
        tell(&qcow2->owner->inflate_told, op, lacks);
        finish(op, EIO);
        return true;
    }
    if (cluster == NULL) {
        qcow2_clusters_load(qcow2->clusters, op->run.host_bytes, op->run.compressed_bytes,
                            &op->waiter);
        return false;
    }
    memcpy(data_of(op), cluster + offset_in_block(op->at_bytes, cluster_bytes),
           op->run.length_bytes);
    op->at_bytes += op->run.length_bytes;
    return true;
}

static bool step_read(struct operation *op)
{
    switch (op->run.kind) {
    case QCOW2_UNALLOCATED:
        return read_unallocated(op);
    case QCOW2_ZERO:
        take_data(op, 0);
        return true;
    case QCOW2_COMPRESSED:
        return read_compressed(op);
    case QCOW2_DATA:
        break;
    }
    return read_data(op);
}

/* ---- extents ---- */

static struct extent_list *list_of(const struct operation *op)
{
    return (struct extent_list *)(void *)op->request->view.data;
}

/* False: there is no room, or no more is wanted. */
static bool add_extent(struct operation *op, uint64_t length_bytes, uint64_t flags)
{
    struct extent_list *list = list_of(op);

    op->at_bytes += length_bytes;
    return extent_list_add(list, length_bytes, flags) &&
           !((op->request->flags & REQUEST_ONE) && list->count > 1);
}

static void extents_done(struct layer *owner, struct request *req)
{
    struct operation *op = container_of(req, struct operation, sub);
    const struct extent_list *told = &op->extents.list;
    bool more = true;

    (void)owner;
    op->error = req->error == 0 && told->count == 0 ? EIO : req->error;
    for (uint32_t i = 0; req->error == 0 && more && i < told->count; i++)
        more = add_extent(op, told->extents[i].length_bytes, told->extents[i].flags);
    if (!more)
        op->end_bytes = op->at_bytes;
    operation_run(op);
}

/* True: it is done. */
static bool extents_of_backing(struct operation *op)
{
    struct layer *backing = op->owner->backing;
    uint64_t size_bytes = backing != NULL ? limits_size_bytes(&backing->stage->limits) : 0;
    uint64_t length_bytes = op->run.length_bytes;

    if (op->at_bytes >= size_bytes) {
        if (!add_extent(op, length_bytes, EXTENT_HOLE | EXTENT_ZERO))
            finish(op, 0);
        return true;
    }
    if (length_bytes > size_bytes - op->at_bytes)
        length_bytes = size_bytes - op->at_bytes;
    if (!(backing->stage->limits.ops & OP_BIT(REQUEST_EXTENTS))) {
        if (!add_extent(op, length_bytes, 0))
            finish(op, 0);
        return true;
    }
    op->extents.list.capacity = BACKING_EXTENTS;
    op->extents.list.count = 0;
    op->sub = (struct request){
        .flags = op->request->flags & REQUEST_ONE,
        .view = { .op = REQUEST_EXTENTS,
                  .offset_bytes = op->at_bytes,
                  .length_bytes = length_bytes,
                  .data = (uint8_t *)&op->extents.list },
    };
    request_push(&op->sub, NULL, extents_done);
    layer_submit(backing, &op->sub);
    return false;
}

/* What has been found is an answer, if it is not all. */
static bool step_extents(struct operation *op)
{
    bool data = op->run.kind == QCOW2_DATA || op->run.kind == QCOW2_COMPRESSED;

    if (++op->looks > LOOKS_MAX) {
        finish(op, 0);
        return true;
    }
    if (op->run.kind == QCOW2_UNALLOCATED)
        return extents_of_backing(op);
    if (!add_extent(op, op->run.length_bytes, data ? 0 : EXTENT_HOLE | EXTENT_ZERO))
        finish(op, 0);
    return true;
}

/* ---- operations ---- */

static void finish(struct operation *op, int error)
{
    if (op->request->view.op == REQUEST_EXTENTS && list_of(op)->count > 0)
        error = 0; /* what is in front of a fault is known */
    op->error = error;
    op->finished = true;
}

/* Until something is waited for, or all is done. */
static void step(struct operation *op)
{
    bool go_on = true;

    while (go_on && !op->finished) {
        if (op->error != 0 || op->at_bytes == op->end_bytes)
            finish(op, op->error);
        else if (!find_run(op))
            go_on = false;
        else
            go_on = op->request->view.op == REQUEST_READ ? step_read(op) : step_extents(op);
    }
}

static void operation_start(struct qcow2_layer *qcow2, struct request *req)
{
    struct operation *op = qcow2->free;

    qcow2->free = op->next;
    op->request = req;
    op->at_bytes = req->view.offset_bytes;
    op->end_bytes = req->view.offset_bytes + req->view.length_bytes;
    op->error = 0;
    op->looks = op->l1_looks = 0;
    op->finished = false;
    operation_run(op);
}

/* One that is answered at once may bring the next one before this has returned. */
static void start_waiting(struct qcow2_layer *qcow2)
{
    if (qcow2->starting)
        return;
    qcow2->starting = true;
    while (qcow2->waiting != NULL && qcow2->free != NULL) {
        struct request *req = qcow2->waiting;

        qcow2->waiting = req->next;
        if (qcow2->waiting == NULL)
            qcow2->waiting_end = &qcow2->waiting;
        operation_start(qcow2, req);
    }
    qcow2->starting = false;
}

/* What is waited for may have come before the call that asks for it has returned: then it goes on
 * there, so that thousands of them do not grow the stack. */
static void operation_run(struct operation *op)
{
    struct qcow2_layer *qcow2 = op->owner;
    struct request *req = op->request;

    op->again = true;
    if (op->running)
        return;
    op->running = true;
    while (op->again && !op->finished) {
        op->again = false;
        step(op);
    }
    op->running = false;
    if (!op->finished)
        return;
    int error = op->error;
    op->next = qcow2->free;
    qcow2->free = op;
    request_complete(req, error);
    start_waiting(qcow2);
}

static void qcow2_submit(struct layer *layer, struct request *req)
{
    struct qcow2_layer *qcow2 = layer_of(layer);

    if (qcow2->free != NULL && qcow2->waiting == NULL) {
        operation_start(qcow2, req);
        return;
    }
    req->next = NULL;
    *qcow2->waiting_end = req;
    qcow2->waiting_end = &req->next;
    start_waiting(qcow2);
}

/* ---- life ---- */

static void qcow2_detach(struct layer *layer)
{
    struct qcow2_layer *qcow2 = layer_of(layer);

    if (qcow2->backing != NULL)
        layer_detach(qcow2->backing);
    qcow2_slices_destroy(qcow2->slices);
    qcow2_clusters_destroy(qcow2->clusters);
    cipher_destroy(qcow2->cipher);
    free(qcow2);
}

static int check_readable(const struct qcow2_stage *owner, struct error *err)
{
    if (owner->image.header.crypt != QCOW2_CRYPT_NONE && owner->key == NULL)
        return error_set(err, -ENOKEY,
                         "the qcow2 image is encrypted, and what it holds can't be read without "
                         "its key");
    if (owner->image.header.backing[0] != '\0' && owner->backing == NULL)
        return error_set(err, -EPERM, "the qcow2 image has a backing file, which was not opened");
    return 0;
}

static int make_parts(struct qcow2_layer *qcow2, struct error *err)
{
    const struct qcow2_stage *owner = qcow2->owner;
    const struct qcow2_clusters_settings settings = {
        .file = qcow2->layer.below,
        .cluster_bytes = qcow2_map_cluster_bytes(&owner->image.map),
        .zstd = owner->image.header.zstd,
        .offload = owner->offload,
    };
    int result = qcow2_slices_create(&qcow2->slices, qcow2->layer.below,
                                     qcow2_map_slice_bytes(&owner->image.map), err);

    if (result == 0)
        result = qcow2_clusters_create(&qcow2->clusters, &settings, err);
    if (result == 0 && owner->key != NULL)
        result = cipher_create(&qcow2->cipher, &owner->cipher, owner->key, SECTOR_BYTES, err);
    if (result == 0 && owner->backing != NULL)
        result = stage_attach(&qcow2->backing, owner->backing, qcow2->layer.loop, err);
    return result;
}

static int qcow2_attach(struct layer **out, struct stage *stage, struct layer *below,
                        struct loop *loop, struct error *err)
{
    struct qcow2_stage *owner = container_of(stage, struct qcow2_stage, stage);
    struct qcow2_layer *qcow2;
    int result = check_readable(owner, err);

    if (result < 0)
        return result;
    qcow2 = calloc(1, sizeof *qcow2);
    if (qcow2 == NULL)
        return error_no_memory(err, "for a pipeline");
    qcow2->layer =
        (struct layer){ .ops = stage->ops, .stage = stage, .below = below, .loop = loop };
    qcow2->owner = owner;
    qcow2->waiting_end = &qcow2->waiting;
    for (unsigned i = 0; i < OPERATIONS; i++) {
        struct operation *op = &qcow2->operations[i];

        op->owner = qcow2;
        op->waiter.fn = waited;
        op->next = qcow2->free;
        qcow2->free = op;
    }
    result = make_parts(qcow2, err);
    if (result < 0)
        qcow2_detach(&qcow2->layer);
    else
        *out = &qcow2->layer;
    return result;
}

static void qcow2_close(struct stage *stage)
{
    struct qcow2_stage *qcow2 = container_of(stage, struct qcow2_stage, stage);

    stage_close(qcow2->backing);
    qcow2_image_free(&qcow2->image);
    secret_free(qcow2->key);
    free(qcow2->name);
    free(qcow2);
}

const struct layer_ops qcow2_ops = {
    .name = "qcow2",
    .attach = qcow2_attach,
    .submit = qcow2_submit,
    .detach = qcow2_detach,
    .close = qcow2_close,
};
