/* Compressed clusters that one worker has inflated lately: a fixed number of them.  Inflating is
 * for the threads of the offload pool. */
#ifndef NBDCRYPT_QCOW2_CLUSTERS_H
#define NBDCRYPT_QCOW2_CLUSTERS_H

#include "server/block/qcow2-slices.h"

struct qcow2_clusters;

struct qcow2_clusters_settings {
    struct layer *file; /* must stay */
    uint32_t cluster_bytes;
    bool zstd;
    struct offload *offload; /* NULL: inflated at once, on the thread of the layer */
};

NODISCARD int qcow2_clusters_create(struct qcow2_clusters **out,
                                    const struct qcow2_clusters_settings *settings,
                                    struct error *err);
/* Nobody waits. */
void qcow2_clusters_destroy(struct qcow2_clusters *clusters);

/* The whole cluster; NULL: it has to be loaded.  Stays until the next load. */
const uint8_t *qcow2_clusters_find(struct qcow2_clusters *clusters, uint64_t host_bytes);
/* When it has been loaded, or could not be (EILSEQ: its data is damaged); it may have gone again:
 * look for it. The compressed bytes lie in the file, and are at most a cluster and
 * QCOW2_COMPRESSED_MORE_BYTES. */
void qcow2_clusters_load(struct qcow2_clusters *clusters, uint64_t host_bytes,
                         uint32_t compressed_bytes, struct qcow2_waiter *waiter);

#endif
