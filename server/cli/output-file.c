/* A new file for the user: see output-file.h. */
#include "server/cli/output-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/base/file-io.h"

static int write_durably(int fd, const void *data, size_t length_bytes)
{
    int result = file_io_write(fd, data, length_bytes);

    if (result == 0 && fsync(fd) != 0)
        result = -errno;
    return result;
}

/* The name appears in one step; link() where the file system can't refuse to replace. */
static int give_name(const char *temporary, const char *path, bool replace)
{
    if (replace)
        return rename(temporary, path) == 0 ? 0 : -errno;
    if (renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -errno;
    if (link(temporary, path) != 0)
        return -errno;
    (void)unlink(temporary);
    return 0;
}

int output_file_write(const char *path, const void *data, size_t length_bytes, bool replace,
                      struct error *err)
{
    size_t name_bytes = strlen(path) + sizeof ".XXXXXX";
    char *temporary = malloc(name_bytes);
    int fd, result;

    if (temporary == NULL)
        return error_set(err, -ENOMEM, "not enough memory to make '%s'", path);
    (void)snprintf(temporary, name_bytes, "%s.XXXXXX", path);
    fd = mkostemp(temporary, O_CLOEXEC); /* mode 0600 */
    result = fd < 0 ? -errno : write_durably(fd, data, length_bytes);
    if (fd >= 0)
        (void)close(fd);
    if (result == 0)
        result = give_name(temporary, path, replace);
    if (result < 0 && fd >= 0)
        (void)unlink(temporary);
    free(temporary);
    if (result == 0)
        result = file_io_sync_name(path);
    if (result == -EEXIST)
        return error_set(err, result, "'%s' is there already; --force replaces it", path);
    if (result < 0)
        return error_set(err, result, "'%s' can't be made: %s", path, strerror(-result));
    return 0;
}
