#include "server/keys/private-file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/base/file-io.h"
#include "server/base/log.h"

static int explain(int result, const char *path, struct error *err)
{
    if (result == -ENOENT)
        return error_set(err, result, "%s: there is no such file", path);
    if (result == -EACCES)
        return error_set(err, result, "%s: uid %u may not read it", path, geteuid());
    return error_set(err, result, "%s: it can't be read: %s", path, strerror(-result));
}

/* Through each of the folders that the file is in? */
static bool others_get_there(int fd)
{
    char link[32], path[PATH_MAX];
    struct stat folder;
    ssize_t length;

    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof path - 1);
    if (length <= 0 || path[0] != '/')
        return true; /* not known */
    path[length] = '\0';
    for (char *slash = strrchr(path, '/'); slash != NULL; slash = strrchr(path, '/')) {
        *slash = '\0';
        if (stat(path[0] != '\0' ? path : "/", &folder) == 0 && (folder.st_mode & S_IXOTH) == 0)
            return false;
    }
    return true;
}

void private_file_warn(int fd, const char *path)
{
    struct stat status;

    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
        (status.st_mode & (S_IROTH | S_IWOTH)) != 0 && others_get_there(fd))
        log_warning("%s: everybody may %s it, and it holds a key: chmod 600 it", path,
                    (status.st_mode & S_IROTH) != 0 ? "read" : "write");
}

static int read_open(struct secret **out, int fd, const char *path, size_t max_bytes, bool warn,
                     struct error *err)
{
    struct stat status;
    size_t length_bytes;

    if (fstat(fd, &status) != 0)
        return explain(-errno, path, err);
    if (S_ISDIR(status.st_mode))
        return explain(-EISDIR, path, err);
    if (warn)
        private_file_warn(fd, path);
    /* One byte more than what may be there: pipes have no size. */
    if (S_ISREG(status.st_mode) && (unsigned long long)status.st_size < max_bytes)
        max_bytes = (size_t)status.st_size + 1;
    int result = secret_create(out, max_bytes + 1, err);
    if (result < 0)
        return result;
    result = file_io_read(fd, (*out)->data, (*out)->length_bytes, &length_bytes);
    if (result == 0 && length_bytes > max_bytes)
        result = -EFBIG;
    if (result < 0) {
        secret_free(*out);
        *out = NULL;
        return explain(result, path, err);
    }
    secret_truncate(*out, length_bytes);
    return 0;
}

int private_file_read(struct secret **out, const char *path, size_t max_bytes, bool warn,
                      struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return explain(-errno, path, err);
    int result = read_open(out, fd, path, max_bytes, warn, err);
    close(fd);
    return result;
}
