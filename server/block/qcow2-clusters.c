#include "server/block/qcow2-clusters.h"

#include <errno.h>
#include <stdlib.h>

#include "server/qcow2/qcow2-inflate.h"
#include "server/qcow2/qcow2-map.h"

/* As many as keep the pool busy; of large ones, fewer. */
#define CLUSTERS_MAX 16u
#define CLUSTERS_MIN 4u
#define CLUSTERS_BYTES (1024u * 1024u)
#define READ_BYTES_MAX BUFFER_BYTES_MAX

enum cluster_state { CLUSTER_EMPTY, CLUSTER_LOADING, CLUSTER_READY };

struct cluster {
    enum cluster_state state;
    uint64_t host_bytes;
    uint64_t used; /* when it was, as a number that grows */
    struct qcow2_waiter *waiters;
    struct qcow2_clusters *owner;
    uint8_t *data;                         /* of the disk */
    uint8_t *compressed;                   /* what was read of the file, in whole blocks */
    uint32_t skip_bytes, compressed_bytes; /* where in it the data lies */
    uint32_t read_bytes, have_bytes;       /* how much is to be read, and has been */
    struct request request;
    struct offload_job job;
};

struct qcow2_clusters {
    struct qcow2_clusters_settings settings;
    uint32_t block_bytes;
    uint64_t clock;
    uint8_t *memory; /* whose pages the kernel makes when they are used */
    unsigned count;
    struct qcow2_waiter *waiters; /* for one that is not being loaded */
    struct cluster clusters[CLUSTERS_MAX];
};

static void read_next(struct cluster *cluster);

int qcow2_clusters_create(struct qcow2_clusters **out,
                          const struct qcow2_clusters_settings *settings, struct error *err)
{
    struct qcow2_clusters *clusters = calloc(1, sizeof *clusters);
    uint32_t block_bytes = settings->file->stage->limits.block_min_bytes;
    size_t compressed_bytes =
        settings->cluster_bytes + QCOW2_COMPRESSED_MORE_BYTES + (size_t)2 * block_bytes;
    size_t each_bytes = (settings->cluster_bytes + compressed_bytes + 4095) & ~(size_t)4095;
    unsigned count = CLUSTERS_BYTES / settings->cluster_bytes;
    void *memory = NULL;

    if (count > CLUSTERS_MAX)
        count = CLUSTERS_MAX;
    if (count < CLUSTERS_MIN)
        count = CLUSTERS_MIN;
    if (clusters == NULL || posix_memalign(&memory, 4096, count * each_bytes) != 0) {
        free(clusters);
        return error_no_memory(err, "for a pipeline");
    }
    clusters->settings = *settings;
    clusters->block_bytes = block_bytes;
    clusters->memory = memory;
    clusters->count = count;
    for (unsigned i = 0; i < count; i++) {
        clusters->clusters[i].owner = clusters;
        clusters->clusters[i].compressed = clusters->memory + i * each_bytes;
        clusters->clusters[i].data =
            clusters->memory + (i + 1) * each_bytes - settings->cluster_bytes;
    }
    *out = clusters;
    return 0;
}

void qcow2_clusters_destroy(struct qcow2_clusters *clusters)
{
    if (clusters == NULL)
        return;
    free(clusters->memory);
    free(clusters);
}

const uint8_t *qcow2_clusters_find(struct qcow2_clusters *clusters, uint64_t host_bytes)
{
    for (unsigned i = 0; i < clusters->count; i++) {
        struct cluster *cluster = &clusters->clusters[i];

        if (cluster->state == CLUSTER_READY && cluster->host_bytes == host_bytes) {
            cluster->used = ++clusters->clock;
            return cluster->data;
        }
    }
    return NULL;
}

/* Those who wait for any have their turn behind those who wait for this one. */
static void cluster_loaded(struct cluster *cluster, int error)
{
    struct qcow2_clusters *clusters = cluster->owner;

    cluster->state = error == 0 ? CLUSTER_READY : CLUSTER_EMPTY;
    cluster->used = ++clusters->clock;
    qcow2_waiters_wake(&cluster->waiters, error);
    qcow2_waiters_wake(&clusters->waiters, 0);
}

static void inflate_work(struct offload_job *job)
{
    struct cluster *cluster = container_of(job, struct cluster, job);
    const struct qcow2_clusters_settings *settings = &cluster->owner->settings;

    job->done.result = qcow2_inflate(cluster->data, settings->cluster_bytes,
                                     cluster->compressed + cluster->skip_bytes,
                                     cluster->compressed_bytes, settings->zstd)
                           ? 0
                           : EILSEQ;
}

static void inflate_done(struct io_event *ev, int result)
{
    cluster_loaded(container_of(ev, struct cluster, job.done.event), result);
}

static void inflate_start(struct cluster *cluster)
{
    struct offload_job *job = &cluster->job;

    job->work = inflate_work;
    job->done.event.fn = inflate_done;
    job->loop = cluster->owner->settings.file->loop;
    if (cluster->owner->settings.offload != NULL) {
        offload_run(cluster->owner->settings.offload, job);
        return;
    }
    inflate_work(job);
    cluster_loaded(cluster, job->done.result);
}

static void read_done(struct layer *owner, struct request *req)
{
    struct cluster *cluster = container_of(req, struct cluster, request);

    (void)owner;
    cluster->have_bytes += (uint32_t)req->view.length_bytes;
    if (req->error != 0)
        cluster_loaded(cluster, req->error);
    else if (cluster->have_bytes < cluster->read_bytes)
        read_next(cluster);
    else
        inflate_start(cluster);
}

/* No layer is asked for more at once than clients ask for. */
static void read_next(struct cluster *cluster)
{
    uint32_t length_bytes = cluster->read_bytes - cluster->have_bytes;

    if (length_bytes > READ_BYTES_MAX)
        length_bytes = READ_BYTES_MAX;
    cluster->request = (struct request){
        .view = { .op = REQUEST_READ,
                  .offset_bytes = cluster->host_bytes - cluster->skip_bytes + cluster->have_bytes,
                  .length_bytes = length_bytes,
                  .data = cluster->compressed + cluster->have_bytes },
    };
    request_push(&cluster->request, NULL, read_done);
    layer_submit(cluster->owner->settings.file, &cluster->request);
}

/* The one that is being loaded; or that was used longest ago, and is not; NULL: all others are. */
static struct cluster *choose(struct qcow2_clusters *clusters, uint64_t host_bytes)
{
    struct cluster *chosen = NULL;

    for (unsigned i = 0; i < clusters->count; i++) {
        struct cluster *cluster = &clusters->clusters[i];

        if (cluster->state == CLUSTER_LOADING && cluster->host_bytes == host_bytes)
            return cluster;
        if (cluster->state != CLUSTER_LOADING && (chosen == NULL || cluster->used < chosen->used))
            chosen = cluster;
    }
    return chosen;
}

void qcow2_clusters_load(struct qcow2_clusters *clusters, uint64_t host_bytes,
                         uint32_t compressed_bytes, struct qcow2_waiter *waiter)
{
    struct cluster *cluster = choose(clusters, host_bytes);
    struct qcow2_waiter **list = cluster != NULL ? &cluster->waiters : &clusters->waiters;
    uint32_t block = clusters->block_bytes;

    waiter->next = *list;
    *list = waiter;
    if (cluster == NULL || cluster->state == CLUSTER_LOADING)
        return;
    cluster->state = CLUSTER_LOADING;
    cluster->host_bytes = host_bytes;
    cluster->skip_bytes = offset_in_block(host_bytes, block);
    cluster->compressed_bytes = compressed_bytes;
    cluster->read_bytes = (cluster->skip_bytes + compressed_bytes + block - 1) / block * block;
    cluster->have_bytes = 0;
    read_next(cluster);
}
