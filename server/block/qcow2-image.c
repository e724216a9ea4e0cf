#include "server/block/qcow2-image.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/block/image-io.h"
#include "server/qcow2/qcow2-snapshot.h"

#define NAMES_BYTES 256u /* of a list in a message */
#define SNAPSHOT_TABLE_BYTES_MAX (64u * 1024 * 1024)

/* The file, while it is read. */
struct source {
    struct image_io *io;
    uint64_t file_bytes;
};

static int read_header(struct qcow2_header *out, const struct source *source, struct error *err)
{
    size_t head_bytes = source->file_bytes < QCOW2_HEAD_BYTES_MAX ? (size_t)source->file_bytes
                                                                  : QCOW2_HEAD_BYTES_MAX;
    uint8_t *head = malloc(QCOW2_HEAD_BYTES_MAX);

    if (head == NULL)
        return error_no_memory(err, "to read an image");
    int result = image_io_read(source->io, 0, head, head_bytes, err);
    if (result == 0)
        result = qcow2_header_parse(out, head, head_bytes, source->file_bytes, err);
    free(head);
    return result;
}

/* ---- snapshots ---- */

/* What is looked for, and what was there instead. */
struct search {
    const char *wanted;
    struct qcow2_snapshot found; /* its texts are not kept */
    bool by_name, by_id;
    char names[NAMES_BYTES];
    size_t used;
};

static bool is_text(const char *bytes, size_t length_bytes, const char *text)
{
    return length_bytes == strlen(text) && memcmp(bytes, text, length_bytes) == 0;
}

static void list_name(struct search *search, const struct qcow2_snapshot *snapshot)
{
    size_t left = sizeof search->names - search->used;

    if (snapshot->name_bytes + sizeof ", ..." >= left) {
        if (search->used == 0 || search->names[search->used - 1] != '.')
            search->used += (size_t)snprintf(search->names + search->used, left, "%s...",
                                             search->used > 0 ? ", " : "");
        return;
    }
    search->used +=
        (size_t)snprintf(search->names + search->used, left, "%s%.*s", search->used > 0 ? ", " : "",
                         (int)snapshot->name_bytes, snapshot->name);
}

/* A name counts more than an id, as in QEMU. */
static void look_at_snapshot(struct search *search, const struct qcow2_snapshot *snapshot)
{
    bool by_name = is_text(snapshot->name, snapshot->name_bytes, search->wanted);
    bool by_id = is_text(snapshot->id, snapshot->id_bytes, search->wanted);

    list_name(search, snapshot);
    if (search->by_name || !(by_name || (by_id && !search->by_id)))
        return;
    search->found = *snapshot;
    search->found.name = search->found.id = NULL;
    search->by_name = by_name;
    search->by_id = !by_name;
}

static int read_entry(struct qcow2_snapshot *out, uint64_t *at_bytes, uint8_t *entry,
                      const struct source *source, struct error *err)
{
    size_t length_bytes = 0;
    uint64_t left = source->file_bytes > *at_bytes ? source->file_bytes - *at_bytes : 0;

    if (left < QCOW2_SNAPSHOT_START_BYTES)
        return error_set(err, -EINVAL, "its table of snapshots reaches over the end of the file");
    int result = image_io_read(source->io, *at_bytes, entry, QCOW2_SNAPSHOT_START_BYTES, err);
    if (result == 0)
        result = qcow2_snapshot_length(&length_bytes, entry, err);
    if (result == 0 && length_bytes > left + 7) /* the last one may lack what fills it up */
        result = error_set(err, -EINVAL, "its table of snapshots reaches over the end of the file");
    if (result < 0)
        return result;
    memset(entry, 0, length_bytes);
    result = image_io_read(source->io, *at_bytes, entry,
                           length_bytes < left ? length_bytes : (size_t)left, err);
    if (result == 0)
        qcow2_snapshot_parse(out, entry);
    *at_bytes += length_bytes;
    return result;
}

static int find_snapshot(struct search *search, const struct qcow2_header *header,
                         const struct source *source, struct error *err)
{
    uint64_t at_bytes = header->snapshots_offset_bytes;
    uint8_t *entry = malloc(QCOW2_SNAPSHOT_BYTES_MAX);
    int result = 0;

    if (entry == NULL)
        return error_no_memory(err, "to read an image");
    for (uint32_t i = 0; result == 0 && i < header->snapshots; i++) {
        struct qcow2_snapshot snapshot;

        result = read_entry(&snapshot, &at_bytes, entry, source, err);
        if (result == 0)
            look_at_snapshot(search, &snapshot);
        if (at_bytes - header->snapshots_offset_bytes > SNAPSHOT_TABLE_BYTES_MAX)
            result = error_set(err, -EINVAL, "its table of snapshots is larger than %u bytes",
                               SNAPSHOT_TABLE_BYTES_MAX);
    }
    free(entry);
    if (result == 0 && !search->by_name && !search->by_id)
        return error_set(err, -ENOENT, "it has no snapshot '%s'%s%s", search->wanted,
                         search->used > 0 ? "; it has " : ", for it has none", search->names);
    return result;
}

/* Where its L1 table is, and how large the disk was. */
static int use_snapshot(uint64_t *l1_offset_bytes, uint32_t *l1_entries, struct qcow2_image *image,
                        const char *name, const struct source *source, struct error *err)
{
    struct search search = { .wanted = name };
    int result = find_snapshot(&search, &image->header, source, err);

    if (result == 0)
        result = qcow2_header_check_l1(&image->header, search.found.l1_offset_bytes,
                                       search.found.l1_entries, source->file_bytes, err);
    if (result == 0 && search.found.disk_bytes > INT64_MAX)
        result = error_set(err, -EINVAL, "the disk has %llu bytes, which is too much",
                           (unsigned long long)search.found.disk_bytes);
    if (result < 0) {
        if (result != -ENOENT)
            error_prefix(err, "snapshot '%s': ", name);
        return result;
    }
    *l1_offset_bytes = search.found.l1_offset_bytes;
    *l1_entries = search.found.l1_entries;
    if (search.found.disk_bytes > 0)
        image->size_bytes = search.found.disk_bytes;
    return 0;
}

/* ---- all of it ---- */

static int read_image(struct qcow2_image *image, const char *snapshot, const struct source *source,
                      struct error *err)
{
    uint64_t offset_bytes;
    uint32_t entries;
    int result = read_header(&image->header, source, err);

    if (result < 0)
        return result;
    offset_bytes = image->header.l1_offset_bytes;
    entries = image->header.l1_entries;
    image->size_bytes = image->header.size_bytes;
    if (snapshot != NULL)
        result = use_snapshot(&offset_bytes, &entries, image, snapshot, source, err);
    if (result < 0)
        return result;
    image->map = qcow2_map_of(&image->header, entries, source->file_bytes);
    image->l1 = calloc((size_t)entries + 1, sizeof image->l1[0]);
    if (image->l1 == NULL)
        return error_no_memory(err, "for its L1 table");
    return image_io_read(source->io, offset_bytes, image->l1, (size_t)entries * 8, err);
}

int qcow2_image_read(struct qcow2_image *out, struct stage *file, const char *snapshot,
                     struct error *err)
{
    struct source source = { .file_bytes = file->limits.size_bytes };
    int result = image_io_create(&source.io, file, err);

    *out = (struct qcow2_image){ .l1 = NULL };
    if (result < 0)
        return result;
    result = read_image(out, snapshot, &source, err);
    image_io_destroy(source.io);
    if (result < 0)
        qcow2_image_free(out);
    return result;
}

void qcow2_image_free(struct qcow2_image *image)
{
    free(image->l1);
    image->l1 = NULL;
}

int qcow2_image_is_there(bool *out, struct stage *file, struct error *err)
{
    uint8_t mark[4];
    struct image_io *io;

    *out = false;
    if (file->limits.size_bytes < sizeof mark)
        return 0;
    int result = image_io_create(&io, file, err);
    if (result < 0)
        return result;
    result = image_io_read(io, 0, mark, sizeof mark, err);
    image_io_destroy(io);
    *out = result == 0 && qcow2_header_is_there(mark, sizeof mark);
    return result;
}
