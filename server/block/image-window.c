#include "server/block/image-window.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/luks/partition-table.h"
#include "server/block/image-io.h"
#include "server/block/image-query.h"
#include "server/base/size-text.h"

#define SECTOR_BYTES 512u /* the least that LUKS and locks count with */
#define LIST_BYTES 256u

/* ---- the parameters ---- */

#define FIELD(name) offsetof(struct image_window, name)

static const struct param window_params[] = {
    PARAM("offset", SIZE, "BYTES", offset_bytes, "where the part begins"),
    PARAM("size", SIZE, "BYTES", size_bytes, "how large it is", .min = SECTOR_BYTES),
    PARAM("partition", UINT, "N", partition, "the part is this partition", .min = 1),
    { .name = NULL },
};

char *image_window_question(const char *path)
{
    return image_query_question(path, window_params);
}

static int check(const struct image_window *window, struct error *err)
{
    if (window->partition != 0 && (window->offset_bytes != 0 || window->size_bytes != 0))
        return error_set(err, -EINVAL,
                         "partition= says where the part is: leave out offset= and size=");
    if (window->offset_bytes % SECTOR_BYTES != 0)
        return error_set(err, -EINVAL, "offset=%llu is not a multiple of %u bytes",
                         (unsigned long long)window->offset_bytes, SECTOR_BYTES);
    if (window->size_bytes % SECTOR_BYTES != 0)
        return error_set(err, -EINVAL, "size=%llu is not a multiple of %u bytes",
                         (unsigned long long)window->size_bytes, SECTOR_BYTES);
    return 0;
}

int image_window_parse(struct image_window *out, char *query, struct error *err)
{
    char *kept = NULL;
    bool given = false;

    *out = (struct image_window){ .given = false };
    int result = image_query_take(out, &given, &kept, window_params, query, err);
    free(kept); /* all of it is numbers */
    out->given = given;
    return result == 0 ? check(out, err) : result;
}

/* ---- where it is ---- */

static int read_image(void *io, uint64_t offset_bytes, void *out, size_t length_bytes,
                      struct error *err)
{
    return image_io_read(io, offset_bytes, out, length_bytes, err);
}

static int read_table(struct partition_table *out, struct stage *stage, struct error *err)
{
    struct image_io *io;
    int result = image_io_create(&io, stage, err);

    if (result < 0)
        return result;
    result = partition_table_read(out, read_image, io, stage->limits.size_bytes, err);
    image_io_destroy(io);
    return result;
}

/* "1 (10485760 bytes (10 MiB)), 2 (...)": those that can be named. */
static void list_partitions(char list[LIST_BYTES], const struct partition_table *table)
{
    size_t used = 0;

    list[0] = '\0';
    for (unsigned i = 0; i < table->count; i++) {
        const struct partition *partition = &table->partitions[i];
        char item[80];

        if (partition->extended)
            continue;
        int length = snprintf(item, sizeof item, "%s%u with %s", used > 0 ? ", " : "",
                              partition->number, size_text(partition->size_bytes).text);
        if (used + (size_t)length + sizeof ", ..." > LIST_BYTES) {
            memcpy(list + used, ", ...", sizeof ", ...");
            return;
        }
        memcpy(list + used, item, (size_t)length + 1);
        used += (size_t)length;
    }
}

static int no_such_partition(const struct partition_table *table, unsigned number, bool extended,
                             struct error *err)
{
    char list[LIST_BYTES];

    if (table->type[0] == '\0')
        return error_set(err, -ENXIO, "partition %u does not exist: it has no partition table",
                         number);
    list_partitions(list, table);
    return error_set(err, -ENXIO, "partition %u %s; its table (%s) has %s%s", number,
                     extended ? "is the extended one, which only holds others" : "does not exist",
                     table->type, list[0] != '\0' ? "partition " : "no partition", list);
}

static int check_range(const struct byte_range *range, uint64_t image_bytes, const char *what,
                       struct error *err)
{
    if (range->size_bytes <= image_bytes && range->offset_bytes <= image_bytes - range->size_bytes)
        return 0;
    return error_set(err, -EINVAL,
                     "%s begins at byte %llu and has %llu bytes, which is beyond the end of the "
                     "image: it has %s",
                     what, (unsigned long long)range->offset_bytes,
                     (unsigned long long)range->size_bytes, size_text(image_bytes).text);
}

static int find_partition(struct byte_range *out, unsigned number, struct stage *stage,
                          struct error *err)
{
    struct partition_table *table = malloc(sizeof *table);
    const struct partition *found = NULL;
    char what[32];

    if (table == NULL)
        return error_no_memory(err, "for a partition table");
    int result = read_table(table, stage, err);
    for (unsigned i = 0; result == 0 && found == NULL && i < table->count; i++)
        if (table->partitions[i].number == number)
            found = &table->partitions[i];
    if (result == 0 && (found == NULL || found->extended)) {
        result = no_such_partition(table, number, found != NULL, err);
    } else if (result == 0) {
        *out = (struct byte_range){ found->start_bytes, found->size_bytes };
        (void)snprintf(what, sizeof what, "partition %u", number);
        result = check_range(out, stage->limits.size_bytes, what, err);
    }
    free(table);
    return result;
}

int image_window_find(struct byte_range *out, const struct image_window *window,
                      struct stage *stage, struct error *err)
{
    uint64_t image_bytes = stage->limits.size_bytes;

    if (window->partition != 0)
        return find_partition(out, window->partition, stage, err);
    *out = (struct byte_range){ window->offset_bytes, window->size_bytes };
    if (window->offset_bytes >= image_bytes)
        return error_set(err, -EINVAL, "offset=%llu is not inside the image, which has %s",
                         (unsigned long long)window->offset_bytes, size_text(image_bytes).text);
    if (window->size_bytes == 0)
        out->size_bytes = image_bytes - window->offset_bytes;
    return check_range(out, image_bytes, "the part", err);
}
