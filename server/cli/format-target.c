/* What is formatted: see format-target.h. */
#include "server/cli/format-target.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/base/file-io.h"
#include "server/base/log.h"
#include "server/base/zeros.h"
#include "server/block/image.h"
#include "server/volume/volume-header.h"

#define CHUNK_BYTES (256u * 1024u)

/* The path of "PATH" and "file:PATH".  "memory:1G" and the like have none, nor has a part of
 * a disk: that is neither made nor enlarged. */
static const char *local_path(const char *spec)
{
    size_t scheme = strspn(spec, "abcdefghijklmnopqrstuvwxyz+");

    if (image_names_a_part(spec))
        return NULL;
    if (strncmp(spec, "file:", 5) == 0)
        return spec + 5;
    if (scheme >= 2 && spec[scheme] == ':' && access(spec, F_OK) != 0)
        return NULL;
    return spec;
}

static int refuse_content(const struct format_target *target, const char *content,
                          struct error *err)
{
    return error_set(err, -EEXIST,
                     "'%s' is not empty: it holds %s; give --%s to overwrite it, which "
                     "destroys what is there",
                     target->spec, *content ? content : "data", target->force_option);
}

/* The whole area that will be written must be zeros, and no mark of another format may be near. */
static int check_is_empty(const struct format_target *target, struct image_io *io,
                          uint64_t area_bytes, struct error *err)
{
    uint64_t end_bytes = area_bytes < target->size_bytes ? area_bytes : target->size_bytes;
    uint8_t *chunk = malloc(CHUNK_BYTES);
    struct format_signature content;
    bool empty = true;
    int result;

    if (chunk == NULL)
        return error_no_memory(err, "to look at the image");
    result = volume_header_signature(&content, FORMAT_SIGNATURE_ANY, io, target->size_bytes, err);
    for (uint64_t at = 0; at < end_bytes && empty && result == 0; at += CHUNK_BYTES) {
        size_t now = end_bytes - at < CHUNK_BYTES ? (size_t)(end_bytes - at) : CHUNK_BYTES;

        result = image_io_read(io, at, chunk, now, err);
        empty = result != 0 || zeros_only(chunk, now);
    }
    free(chunk);
    if (result == 0 && (!empty || content.text[0] != '\0'))
        result = refuse_content(target, content.text, err);
    return result;
}

/* Opens what it names, measures it, and looks at what is in the first area_bytes.  It stays locked,
 * so that nothing comes there until it is written.  An image whose header is elsewhere is not
 * written, and must not be anybody else's either. */
static int inspect_existing(struct format_target *target, const struct format_target_wish *wish,
                            struct error *err)
{
    struct image_options options = { .read_only = !wish->is_written,
                                     .lock = true,
                                     .terms = wish->terms };
    struct image_io *io = NULL;
    int result = image_open(&target->stage, target->spec, &options, err);

    if (result < 0)
        return result;
    target->exists = true;
    target->size_bytes = target->stage->limits.size_bytes;
    if (wish->force)
        return 0;
    result = image_io_create(&io, target->stage, err);
    if (result == 0)
        result = check_is_empty(target, io, wish->area_bytes, err);
    image_io_destroy(io);
    return result;
}

int format_target_inspect(struct format_target *target, const struct format_target_wish *wish,
                          struct error *err)
{
    target->spec = wish->spec;
    target->force_option = wish->force_option;
    target->path = local_path(wish->spec);
    if (target->path != NULL && access(target->path, F_OK) != 0 && errno == ENOENT) {
        if (wish->may_be_made)
            return 0;
        return error_set(err, -ENOENT, "'%s' does not exist; give --size to have it made",
                         wish->spec);
    }
    return inspect_existing(target, wish, err);
}

/* A volume that is said to be made is there after a loss of power, with its size. */
static int keep_room(const struct format_target *target, struct error *err)
{
    int result = fsync(target->grown_fd) == 0 ? 0 : -errno;

    if (result == 0 && target->made)
        result = file_io_sync_name(target->path);
    if (result < 0)
        (void)error_set(err, result, "'%s' can't be made durable: %s", target->path,
                        strerror(-result));
    return result;
}

static int enlarge(struct format_target *target, uint64_t size_bytes, struct error *err)
{
    struct stat status;
    int result;

    if (fstat(target->grown_fd, &status) == 0 &&
        ftruncate(target->grown_fd, (off_t)size_bytes) == 0) {
        target->grown = true;
        target->ended_bytes = (uint64_t)status.st_size;
        target->ends_bytes = size_bytes;
        return keep_room(target, err);
    }
    result = -errno;
    (void)error_set(err, result, "'%s' can't be made %" PRIu64 " bytes large: %s", target->path,
                    size_bytes, strerror(-result));
    if (target->made)
        (void)unlink(target->path);
    target->made = false;
    (void)close(target->grown_fd);
    return result;
}

int format_target_make_room(struct format_target *target, uint64_t size_bytes, struct error *err)
{
    int flags = O_RDWR | O_CLOEXEC | O_NOCTTY | (target->exists ? 0 : O_CREAT | O_EXCL);
    int result;

    if (target->path == NULL || (target->exists && target->size_bytes >= size_bytes))
        return 0;
    target->grown_fd = open(target->path, flags, 0600);
    if (target->grown_fd < 0) {
        result = -errno;
        return error_set(err, result, "'%s' can't be %s: %s", target->path,
                         target->exists ? "opened for writing" : "made", strerror(-result));
    }
    target->made = !target->exists;
    return enlarge(target, size_bytes, err);
}

/* The name may be that of something else by now. */
static int remove_made(const struct format_target *target)
{
    struct stat made, named;

    if (fstat(target->grown_fd, &made) < 0 || lstat(target->path, &named) < 0)
        return -errno;
    if (made.st_dev != named.st_dev || made.st_ino != named.st_ino)
        return -ESTALE;
    return unlink(target->path) == 0 ? 0 : -errno;
}

/* Somebody else may have made it longer still. */
static int cut_grown(const struct format_target *target)
{
    struct stat now;

    if (fstat(target->grown_fd, &now) < 0)
        return -errno;
    if ((uint64_t)now.st_size != target->ends_bytes)
        return -ESTALE;
    if (ftruncate(target->grown_fd, (off_t)target->ended_bytes) < 0)
        return -errno;
    return fsync(target->grown_fd) == 0 ? 0 : -errno;
}

bool format_target_undo(const struct format_target *target)
{
    int result = 0;

    if (target->made)
        result = remove_made(target);
    else if (target->grown)
        result = cut_grown(target);
    if (result == 0)
        return true;
    if (target->made)
        log_warning("'%s' was made, and can't be removed again: %s", target->path,
                    strerror(-result));
    else
        log_warning("'%s' was made larger, and can't be cut to the %" PRIu64
                    " bytes that it had: %s",
                    target->path, target->ended_bytes, strerror(-result));
    return false;
}

void format_target_close(struct format_target *target)
{
    if (target->grown)
        (void)close(target->grown_fd);
    stage_close(target->stage);
}
