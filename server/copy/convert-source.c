#include "server/copy/convert-source.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "server/block/image-io.h"
#include "server/block/image.h"

/* The first part has partition tables and the like, which tell disks apart. */
#define START_BYTES (256u * 1024u)
#define PLACES 64u
#define PLACE_BYTES 4096u

struct convert_stamp convert_source_stamp(const char *spec)
{
    struct convert_stamp stamp = { 0 };
    struct error ignored = { "" };
    struct image_name name;
    struct stat status;

    if (image_name_parse(&name, spec, &ignored) < 0)
        return stamp;
    if (strcmp(name.scheme, "file") == 0 && stat(name.path, &status) == 0 &&
        S_ISREG(status.st_mode))
        stamp = (struct convert_stamp){ .inode = status.st_ino,
                                        .size_bytes = (uint64_t)status.st_size,
                                        .seconds = status.st_mtim.tv_sec,
                                        .nanoseconds = status.st_mtim.tv_nsec };
    free(name.path);
    return stamp;
}

bool convert_stamps_equal(const struct convert_stamp *a, const struct convert_stamp *b)
{
    return a->inode == b->inode && a->size_bytes == b->size_bytes && a->seconds == b->seconds &&
           a->nanoseconds == b->nanoseconds;
}

static void put(struct convert_sample *sample, const void *data, size_t length_bytes)
{
    memcpy(sample->data + sample->length_bytes, data, length_bytes);
    sample->length_bytes += length_bytes;
}

/* What of it is not beyond the end. */
static int read_at(struct convert_sample *sample, struct image_io *io, uint64_t size_bytes,
                   struct byte_range place, struct error *err)
{
    if (place.offset_bytes >= size_bytes)
        return 0;
    if (place.size_bytes > size_bytes - place.offset_bytes)
        place.size_bytes = size_bytes - place.offset_bytes;
    int result = image_io_read(io, place.offset_bytes, sample->data + sample->length_bytes,
                               (size_t)place.size_bytes, err);
    sample->length_bytes += (size_t)place.size_bytes;
    return result;
}

static int take(struct convert_sample *sample, struct image_io *io, uint64_t size_bytes,
                struct error *err)
{
    int result = read_at(sample, io, size_bytes, (struct byte_range){ 0, START_BYTES }, err);

    for (unsigned i = 1; i < PLACES && result == 0; i++)
        result = read_at(sample, io, size_bytes,
                         (struct byte_range){ size_bytes / PLACES * i, PLACE_BYTES }, err);
    return result;
}

int convert_source_sample(struct convert_sample *out, const struct copy_end *source,
                          struct error *err)
{
    const struct convert_stamp stamp = convert_source_stamp(source->settings.image);
    uint64_t size_bytes = source->ex.limits.size_bytes;
    struct image_io *io = NULL;

    *out = (struct convert_sample){ .data = malloc(sizeof stamp + sizeof size_bytes + START_BYTES +
                                                   PLACES * PLACE_BYTES) };
    if (out->data == NULL)
        return error_no_memory(err, "to look at the source");
    put(out, &stamp, sizeof stamp);
    put(out, &size_bytes, sizeof size_bytes);
    int result = image_io_create(&io, source->ex.top, err);
    if (result == 0)
        result = take(out, io, size_bytes, err);
    image_io_destroy(io);
    if (result < 0)
        error_prefix(err, "'%s': ", source->settings.image);
    return result;
}

void convert_sample_free(struct convert_sample *sample)
{
    if (sample->data != NULL)
        secret_wipe(sample->data, sample->length_bytes);
    free(sample->data);
    *sample = (struct convert_sample){ 0 };
}
