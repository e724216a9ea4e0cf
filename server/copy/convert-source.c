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

struct samples {
    struct image_io *io;
    struct secret *out;
    size_t used_bytes;
    uint64_t size_bytes; /* of the disk */
};

static void put(struct samples *samples, const void *data, size_t length_bytes)
{
    memcpy(samples->out->data + samples->used_bytes, data, length_bytes);
    samples->used_bytes += length_bytes;
}

/* What of it is not beyond the end. */
static int read_at(struct samples *samples, uint64_t offset_bytes, uint64_t length_bytes,
                   struct error *err)
{
    if (offset_bytes >= samples->size_bytes)
        return 0;
    if (length_bytes > samples->size_bytes - offset_bytes)
        length_bytes = samples->size_bytes - offset_bytes;
    int result = image_io_read(samples->io, offset_bytes, samples->out->data + samples->used_bytes,
                               (size_t)length_bytes, err);
    samples->used_bytes += (size_t)length_bytes;
    return result;
}

static int take(struct samples *samples, struct error *err)
{
    uint64_t step_bytes = samples->size_bytes / PLACES;
    int result = read_at(samples, 0, START_BYTES, err);

    for (unsigned i = 1; i < PLACES && result == 0; i++)
        result = read_at(samples, step_bytes * i, PLACE_BYTES, err);
    return result;
}

int convert_source_sample(struct secret **out, const struct copy_end *source, struct error *err)
{
    const struct convert_stamp stamp = convert_source_stamp(source->settings.image);
    struct samples samples = { .size_bytes = source->ex.limits.size_bytes };
    size_t bytes = sizeof stamp + sizeof samples.size_bytes + START_BYTES + PLACES * PLACE_BYTES;
    int result = secret_create(&samples.out, bytes, err);

    if (result < 0)
        return result;
    put(&samples, &stamp, sizeof stamp);
    put(&samples, &samples.size_bytes, sizeof samples.size_bytes);
    result = image_io_create(&samples.io, source->ex.top, err);
    if (result == 0)
        result = take(&samples, err);
    image_io_destroy(samples.io);
    if (result < 0) {
        secret_free(samples.out);
        error_prefix(err, "'%s': ", source->settings.image);
        return result;
    }
    secret_truncate(samples.out, samples.used_bytes);
    *out = samples.out;
    return 0;
}
