#include "server/audit/audit-file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/base/file-io.h"

static int check(const struct stat *status, const char *path, struct error *err)
{
    if (!S_ISREG(status->st_mode))
        return error_set(err, -EINVAL, "audit file '%s': it is no regular file", path);
    if (status->st_uid != geteuid())
        return error_set(err, -EPERM,
                         "audit file '%s': it belongs to user %u, and this server runs as user %u",
                         path, status->st_uid, geteuid());
    if ((status->st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return error_set(err, -EPERM, "audit file '%s': others may read or write it: chmod 0600 it",
                         path);
    return 0;
}

/* Whatever is behind the last newline is no record. */
static void find_last(struct audit_file *file, struct audit_line *last)
{
    static char text[2 * AUDIT_LINE_BYTES];
    size_t room = file->size_bytes < sizeof text ? (size_t)file->size_bytes : sizeof text;
    ssize_t got = pread(file->fd, text, room, (off_t)(file->size_bytes - room));

    *last = (struct audit_line){ 0 };
    if (got <= 0)
        return;
    file->torn = text[got - 1] != '\n';
    for (const char *end = memrchr(text, '\n', (size_t)got); end != NULL;) {
        const char *before = memrchr(text, '\n', (size_t)(end - text));
        const char *start = before != NULL ? before + 1 : text;

        if (audit_line_parse(last, start, (size_t)(end - start)) == 0)
            return;
        *last = (struct audit_line){ 0 };
        end = before;
    }
}

static int take(struct audit_file *file, struct audit_line *last, struct error *err)
{
    struct stat status;

    if (fstat(file->fd, &status) != 0)
        return error_set(err, -errno, "audit file '%s': %s", file->path, strerror(errno));
    int result = check(&status, file->path, err);
    if (result < 0)
        return result;
    if (flock(file->fd, LOCK_EX | LOCK_NB) != 0)
        return error_set(err, -errno, "audit file '%s': %s", file->path,
                         errno == EWOULDBLOCK ? "another server writes to it" : strerror(errno));
    file->size_bytes = (uint64_t)status.st_size;
    find_last(file, last);
    return 0;
}

int audit_file_open(struct audit_file *out, const char *path, struct audit_line *last,
                    struct error *err)
{
    *out = (struct audit_file){ .path = path };
    out->fd =
        open(path, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
             S_IRUSR | S_IWUSR);
    if (out->fd < 0)
        return error_set(err, -errno, "audit file '%s': it can't be opened: %s", path,
                         strerror(errno));
    int result = take(out, last, err);
    if (result == 0) {
        result = file_io_sync_name(path);
        if (result == -EACCES) /* the folder lets names be made, and nobody look */
            result = 0;
        if (result < 0)
            error_set(err, result, "audit file '%s': its folder can't be synced: %s", path,
                      strerror(-result));
    }
    if (result < 0)
        audit_file_close(out);
    return result;
}

void audit_file_close(struct audit_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
}

bool audit_file_is_named(const struct audit_file *file)
{
    struct stat ours, named;

    return fstat(file->fd, &ours) == 0 && lstat(file->path, &named) == 0 &&
           ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

static int append(struct audit_file *file, const char *text, size_t bytes)
{
    ssize_t written;

    do
        written = write(file->fd, text, bytes);
    while (written < 0 && errno == EINTR);
    if (written == (ssize_t)bytes) {
        file->size_bytes += bytes;
        return 0;
    }
    int result = written < 0 ? -errno : -ENOSPC;
    if (written > 0 && ftruncate(file->fd, (off_t)file->size_bytes) != 0) {
        file->size_bytes += (uint64_t)written;
        file->torn = true;
    }
    return result;
}

int audit_file_append(struct audit_file *file, const char *line, size_t bytes)
{
    struct stat status;

    if (fstat(file->fd, &status) != 0)
        return -errno;
    if (status.st_nlink == 0 || (uint64_t)status.st_size < file->size_bytes)
        return -ESTALE;
    file->size_bytes = (uint64_t)status.st_size;
    if (file->torn) {
        int result = append(file, "\n", 1);

        if (result < 0)
            return result;
        file->torn = false;
    }
    return append(file, line, bytes);
}

int audit_file_sync(const struct audit_file *file)
{
    return fdatasync(file->fd) == 0 ? 0 : -errno;
}
