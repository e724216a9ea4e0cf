#include "server/block/qcow2-stage.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/log.h"
#include "server/block/qcow2-layer.h"
#include "server/block/qcow2-parts.h"

#define SECTOR_BYTES 512u

static struct limits qcow2_limits(const struct limits *below, const struct qcow2_image *image)
{
    bool encrypted = image->header.crypt != QCOW2_CRYPT_NONE;
    uint32_t cluster_bytes = qcow2_map_cluster_bytes(&image->map);
    uint32_t block = below->block_min_bytes;

    if (encrypted && block < SECTOR_BYTES)
        block = SECTOR_BYTES;
    return (struct limits){
        .size_bytes = image->size_bytes / block * block,
        .block_min_bytes = block,
        .block_preferred_bytes = cluster_bytes < 4096 ? 4096 : cluster_bytes,
        .phase_bytes = 1,
        .ops = OP_BIT(REQUEST_READ) | OP_BIT(REQUEST_EXTENTS),
        .halves_are_noise = encrypted,
        .read_only = true,
        .rotational = below->rotational,
        .multi_conn = true,
    };
}

static int check_marks(const struct qcow2_header *header, const struct qcow2_settings *settings,
                       struct error *err)
{
    if (header->corrupt && !settings->force)
        return error_set(err, -EUCLEAN,
                         "QEMU has marked it as corrupt; look at it by qemu-img check, or read "
                         "what is there by ?corrupt=allow");
    if (header->corrupt)
        log_warning("image '%s': QEMU has marked it as corrupt: what is read may be wrong",
                    settings->name);
    return 0;
}

/* What can't be addressed in the file would be found at the first read of a client. */
static int check_blocks(const struct qcow2_map *map, const struct limits *below, struct error *err)
{
    if (qcow2_map_cluster_bytes(map) >= below->block_min_bytes &&
        qcow2_map_slice_bytes(map) >= below->block_min_bytes)
        return 0;
    return error_set(err, -EINVAL,
                     "its clusters or tables are smaller than the %u bytes that the image can be "
                     "addressed by; serve it without --direct",
                     below->block_min_bytes);
}

int qcow2_stage_create(struct stage **out, struct stage *below,
                       const struct qcow2_settings *settings, struct error *err)
{
    struct qcow2_stage *qcow2 = calloc(1, sizeof *qcow2);

    if (qcow2 == NULL || (qcow2->name = strdup(settings->name)) == NULL) {
        free(qcow2);
        return error_no_memory(err, "for a pipeline");
    }
    int result = qcow2_image_read(&qcow2->image, below, settings->snapshot, err);
    if (result == 0)
        result = check_marks(&qcow2->image.header, settings, err);
    if (result == 0)
        result = check_blocks(&qcow2->image.map, &below->limits, err);
    if (result < 0) {
        qcow2_ops.close(&qcow2->stage); /* and not what is below */
        return result;
    }
    qcow2->offload = settings->offload;
    qcow2->stage = (struct stage){
        .ops = &qcow2_ops,
        .below = below,
        .limits = qcow2_limits(&below->limits, &qcow2->image),
    };
    *out = &qcow2->stage;
    return 0;
}

/* ---- backing files, and keys ---- */

static const struct qcow2_stage *find(const struct stage *top)
{
    while (top != NULL && top->ops != &qcow2_ops)
        top = top->below;
    return top != NULL ? container_of(top, struct qcow2_stage, stage) : NULL;
}

const char *qcow2_stage_backing(const struct stage *stage)
{
    const struct qcow2_stage *qcow2 = find(stage);

    return qcow2 != NULL && qcow2->image.header.backing[0] != '\0' ? qcow2->image.header.backing
                                                                   : NULL;
}

const char *qcow2_stage_backing_format(const struct stage *stage)
{
    const struct qcow2_stage *qcow2 = find(stage);

    return qcow2 != NULL ? qcow2->image.header.backing_format : "";
}

void qcow2_stage_set_backing(struct stage *stage, struct stage *backing)
{
    uint32_t block = backing->limits.block_min_bytes;

    assert(stage->ops == &qcow2_ops);
    container_of(stage, struct qcow2_stage, stage)->backing = backing;
    if (stage->limits.block_min_bytes < block) {
        stage->limits.block_min_bytes = block;
        stage->limits.size_bytes = stage->limits.size_bytes / block * block;
    }
}

const struct stage *qcow2_stage_of(const struct stage *top)
{
    const struct qcow2_stage *qcow2 = find(top);

    return qcow2 != NULL ? &qcow2->stage : NULL;
}

const struct qcow2_header *qcow2_stage_header(const struct stage *top)
{
    const struct qcow2_stage *qcow2 = find(top);

    return qcow2 != NULL ? &qcow2->image.header : NULL;
}

bool qcow2_stage_lacks_backing(const struct stage *top)
{
    const struct qcow2_stage *qcow2 = find(top);

    return qcow2 != NULL && qcow2->image.header.backing[0] != '\0' && qcow2->backing == NULL;
}

enum qcow2_crypt qcow2_stage_crypt(const struct stage *top)
{
    const struct qcow2_stage *qcow2 = find(top);

    return qcow2 != NULL ? qcow2->image.header.crypt : QCOW2_CRYPT_NONE;
}

struct byte_range qcow2_stage_luks_area(const struct stage *top)
{
    const struct qcow2_stage *qcow2 = find(top);

    assert(qcow2 != NULL);
    return (struct byte_range){ qcow2->image.header.luks_offset_bytes,
                                qcow2->image.header.luks_bytes };
}

struct stage *qcow2_stage_file(struct stage *top)
{
    const struct qcow2_stage *qcow2 = find(top);

    assert(qcow2 != NULL);
    return qcow2->stage.below;
}

void qcow2_stage_unlock(struct stage *top, const struct cipher_spec *cipher, struct secret *key)
{
    while (top->ops != &qcow2_ops)
        top = top->below;
    struct qcow2_stage *qcow2 = container_of(top, struct qcow2_stage, stage);
    secret_free(qcow2->key);
    qcow2->cipher = *cipher;
    qcow2->key = key;
}
