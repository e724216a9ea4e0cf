#include "server/base/file-io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int file_io_read(int fd, void *out, size_t room_bytes, size_t *length_bytes)
{
    char *to = out;

    *length_bytes = 0;
    while (*length_bytes < room_bytes) {
        ssize_t got = read(fd, to + *length_bytes, room_bytes - *length_bytes);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        *length_bytes += (size_t)got;
    }
    return 0;
}

int file_io_write(int fd, const void *data, size_t length_bytes)
{
    const char *from = data;

    while (length_bytes > 0) {
        ssize_t written = write(fd, from, length_bytes);

        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -errno;
        from += written;
        length_bytes -= (size_t)written;
    }
    return 0;
}

int file_io_sync_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *directory = slash != NULL ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    int fd = directory != NULL ? open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    int result = fd >= 0 && fsync(fd) == 0 ? 0 : -errno;

    if (fd >= 0)
        (void)close(fd);
    free(directory);
    return result == -EINVAL ? 0 : result; /* file systems that have no such thing */
}
