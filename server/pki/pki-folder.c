#include "server/pki/pki-folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/base/file-io.h"

#define TEMPORARY_PREFIX ".nbdcrypt-"
#define TEMPORARY_NAME_BYTES 32u
#define TEMPORARY_ATTEMPTS 100u

/* ---- opening ---- */

static int failed(struct error *err, const struct pki_folder *folder, const char *name,
                  const char *what)
{
    int result = errno != 0 ? -errno : -EIO;

    return error_set(err, result, "'%s%s%s' can't be %s: %s", folder->path, *name ? "/" : "", name,
                     what, strerror(-result));
}

static int no_memory(struct error *err)
{
    return error_no_memory(err, NULL);
}

static int open_at(struct pki_folder *out, int at_fd, const char *name, int flags, char *path,
                   struct error *err)
{
    *out = (struct pki_folder)FOLDER_CLOSED;
    if (path == NULL)
        return no_memory(err);
    out->path = path;
    out->fd = openat(at_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags);
    if (out->fd < 0) {
        int result = failed(err, out, "", "opened");

        pki_folder_close(out);
        return result;
    }
    return 0;
}

static char *join(const struct pki_folder *parent, const char *name)
{
    char *path;

    return asprintf(&path, "%s/%s", parent->path, name) < 0 ? NULL : path;
}

int pki_folder_open(struct pki_folder *out, const char *path, struct error *err)
{
    return open_at(out, AT_FDCWD, path, 0, strdup(path), err);
}

int pki_folder_open_child(struct pki_folder *out, const struct pki_folder *parent, const char *name,
                          struct error *err)
{
    return open_at(out, parent->fd, name, 0, join(parent, name), err);
}

int pki_folder_open_parent(struct pki_folder *out, char **name, const char *path, struct error *err)
{
    char *copy = strdup(path), *slash;
    int result;

    *out = (struct pki_folder)FOLDER_CLOSED;
    *name = NULL;
    if (copy == NULL)
        return no_memory(err);
    for (size_t end = strlen(copy); end > 1 && copy[end - 1] == '/'; end--)
        copy[end - 1] = '\0';
    slash = strrchr(copy, '/');
    *name = strdup(slash != NULL ? slash + 1 : copy);
    if (*name == NULL)
        result = no_memory(err);
    else if (!**name || !strcmp(*name, ".") || !strcmp(*name, ".."))
        result = error_set(err, -EINVAL, "'%s' does not end with a name", path);
    else if (slash == NULL)
        result = pki_folder_open(out, ".", err);
    else {
        slash[slash == copy] = '\0';
        result = pki_folder_open(out, copy, err);
    }
    free(copy);
    if (result < 0) {
        free(*name);
        *name = NULL;
    }
    return result;
}

int pki_folder_make_child(struct pki_folder *out, const struct pki_folder *parent, const char *name,
                          struct error *err)
{
    int result;

    *out = (struct pki_folder)FOLDER_CLOSED;
    if (mkdirat(parent->fd, name, 0700) < 0)
        return failed(err, parent, name, "made");
    /* Whatever the umask: without this it might not even open. */
    if (fchmodat(parent->fd, name, 0700, 0) < 0)
        result = failed(err, parent, name, "made");
    else
        result = open_at(out, parent->fd, name, O_NOFOLLOW, join(parent, name), err);
    if (result < 0)
        (void)unlinkat(parent->fd, name, AT_REMOVEDIR);
    return result;
}

/* Hidden, and the same for files and folders: what a killed process leaves is recognised. */
static int temporary_name(char *name, struct error *err)
{
    uint64_t random;

    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        return error_set(err, -EIO, "no random numbers: %m");
    (void)snprintf(name, TEMPORARY_NAME_BYTES, TEMPORARY_PREFIX "%016" PRIx64, random);
    return 0;
}

int pki_folder_make_temporary(struct pki_folder *out, char **name, const struct pki_folder *parent,
                              struct error *err)
{
    int result = -EEXIST;

    *name = malloc(TEMPORARY_NAME_BYTES);
    if (*name == NULL)
        return no_memory(err);
    for (unsigned i = 0; i < TEMPORARY_ATTEMPTS && result == -EEXIST; i++) {
        result = temporary_name(*name, err);
        if (result == 0)
            result = pki_folder_make_child(out, parent, *name, err);
    }
    if (result < 0) {
        free(*name);
        *name = NULL;
    }
    return result;
}

bool pki_folder_is_temporary(const char *name)
{
    return strncmp(name, TEMPORARY_PREFIX, strlen(TEMPORARY_PREFIX)) == 0;
}

int pki_folder_show_as(struct pki_folder *folder, const char *path, struct error *err)
{
    char *copy = strdup(path);

    if (copy == NULL)
        return no_memory(err);
    free(folder->path);
    folder->path = copy;
    return 0;
}

const char *pki_folder_name(const struct pki_folder *folder)
{
    const char *slash = strrchr(folder->path, '/');

    return slash != NULL ? slash + 1 : folder->path;
}

void pki_folder_close(struct pki_folder *folder)
{
    if (folder->fd >= 0)
        (void)close(folder->fd);
    free(folder->path);
    *folder = (struct pki_folder)FOLDER_CLOSED;
}

int pki_folder_lock(const struct pki_folder *folder, struct error *err)
{
    while (flock(folder->fd, LOCK_EX) < 0) {
        if (errno != EINTR)
            return failed(err, folder, "", "locked");
    }
    return 0;
}

bool pki_folder_has(const struct pki_folder *folder, const char *name)
{
    struct stat status;

    return fstatat(folder->fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

/* ---- listing ---- */

struct names {
    char **items;
    size_t count;
};

static int names_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void names_free(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i]);
    free(names->items);
}

static int names_add(struct names *names, const char *name)
{
    char **items = reallocarray(names->items, names->count + 1, sizeof *items);

    if (items == NULL)
        return -ENOMEM;
    names->items = items;
    items[names->count] = strdup(name);
    return items[names->count++] != NULL ? 0 : -ENOMEM;
}

static int names_read(struct names *names, const struct pki_folder *folder, struct error *err)
{
    int fd = openat(folder->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    int result = 0;

    if (stream == NULL) {
        result = failed(err, folder, "", "listed");
        if (fd >= 0)
            (void)close(fd);
        return result;
    }
    for (struct dirent *entry; result == 0 && (errno = 0, entry = readdir(stream)) != NULL;) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            result = names_add(names, entry->d_name);
    }
    if (result == -ENOMEM)
        result = no_memory(err);
    else if (errno != 0)
        result = failed(err, folder, "", "listed");
    (void)closedir(stream);
    if (names->count > 0)
        qsort(names->items, names->count, sizeof *names->items, names_compare);
    return result;
}

int pki_folder_each(const struct pki_folder *folder,
                    int (*visit)(void *context, const struct pki_folder *folder, const char *name,
                                 struct error *err),
                    void *context, struct error *err)
{
    struct names names = { 0 };
    int result = names_read(&names, folder, err);

    for (size_t i = 0; i < names.count && result == 0; i++)
        result = visit(context, folder, names.items[i], err);
    names_free(&names);
    return result;
}

/* ---- reading ---- */

static int read_fd(struct secret **out, int fd, const struct pki_folder *folder, const char *name,
                   size_t bytes_max, struct error *err)
{
    struct secret *data = NULL;
    struct stat status;
    size_t length_bytes;
    int result;

    if (fstat(fd, &status) < 0)
        return failed(err, folder, name, "read");
    if (!S_ISREG(status.st_mode))
        return error_set(err, -EINVAL, "'%s/%s' is not a file", folder->path, name);
    if ((uint64_t)status.st_size > bytes_max)
        return error_set(err, -EFBIG, "'%s/%s' has more than the %zu bytes that it can have",
                         folder->path, name, bytes_max);
    result = secret_create(&data, (size_t)status.st_size, err);
    if (result < 0)
        return result;
    result = file_io_read(fd, data->data, data->length_bytes, &length_bytes);
    if (result < 0) {
        errno = -result;
        result = failed(err, folder, name, "read");
        secret_free(data);
        return result;
    }
    secret_truncate(data, length_bytes);
    *out = data;
    return 0;
}

int pki_folder_read(struct secret **out, const struct pki_folder *folder, const char *name,
                    size_t bytes_max, struct error *err)
{
    int fd = openat(folder->fd, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    int result;

    if (fd < 0)
        return failed(err, folder, name, "read");
    result = read_fd(out, fd, folder, name, bytes_max, err);
    (void)close(fd);
    return result;
}

/* ---- writing ---- */

/* 0, or -1 with errno. */
static int write_durably(int fd, const struct secret *data)
{
    int result = file_io_write(fd, data->data, data->length_bytes);

    if (result == 0)
        return fsync(fd);
    errno = -result;
    return -1;
}

/* `like` is a file whose owner the new one gets, when there is one. */
static int write_like(const struct pki_folder *folder, const char *name, const struct secret *data,
                      mode_t mode, const struct stat *like, struct error *err)
{
    int fd = openat(folder->fd, name,
                    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0600);
    int result = 0;

    if (fd < 0)
        return failed(err, folder, name, "made");
    if (like != NULL && (like->st_uid != geteuid() || like->st_gid != getegid()) &&
        fchown(fd, like->st_uid, like->st_gid) < 0)
        result = failed(err, folder, name, "given to the owner of the old one");
    else if (fchmod(fd, mode) < 0 || write_durably(fd, data) < 0)
        result = failed(err, folder, name, "written");
    if (close(fd) < 0 && result == 0)
        result = failed(err, folder, name, "written");
    if (result < 0)
        (void)unlinkat(folder->fd, name, 0);
    return result;
}

static int sync_folder(const struct pki_folder *folder, struct error *err)
{
    return fsync(folder->fd) < 0 ? failed(err, folder, "", "written to the disk") : 0;
}

int pki_folder_write(const struct pki_folder *folder, const char *name, const struct secret *data,
                     mode_t mode, struct error *err)
{
    int result = write_like(folder, name, data, mode, NULL, err);

    return result == 0 ? sync_folder(folder, err) : result;
}

/* Under a temporary name, which is given back. */
static int stage(const struct pki_folder *folder, const struct folder_change *change,
                 char temporary[TEMPORARY_NAME_BYTES], struct error *err)
{
    mode_t mode = change->mode;
    struct stat old;
    bool there = fstatat(folder->fd, change->name, &old, AT_SYMLINK_NOFOLLOW) == 0;
    int result = temporary_name(temporary, err);

    if (result < 0)
        return result;
    if (there && !S_ISREG(old.st_mode))
        return error_set(err, -EINVAL, "'%s/%s' is not a file", folder->path, change->name);
    if (there && change->keep_mode)
        mode &= old.st_mode;
    result = write_like(folder, temporary, change->data, mode, there ? &old : NULL, err);
    if (result < 0)
        error_prefix(err, "%s: ", change->name);
    return result;
}

int pki_folder_replace(const struct pki_folder *folder, const struct folder_change *changes,
                       size_t count, struct error *err)
{
    char(*temporary)[TEMPORARY_NAME_BYTES] = calloc(count, sizeof *temporary);
    size_t staged = 0, renamed = 0;
    int result = temporary != NULL ? 0 : no_memory(err);

    while (result == 0 && staged < count) {
        result = stage(folder, &changes[staged], temporary[staged], err);
        staged += result == 0;
    }
    while (result == 0 && renamed < count) {
        result = renameat(folder->fd, temporary[renamed], folder->fd, changes[renamed].name);
        if (result < 0)
            result = failed(err, folder, changes[renamed].name, "replaced");
        else
            renamed++;
    }
    for (size_t i = renamed; i < staged; i++)
        (void)unlinkat(folder->fd, temporary[i], 0);
    free(temporary);
    return result == 0 ? sync_folder(folder, err) : result;
}

/* ---- names ---- */

int pki_folder_rename(const struct pki_folder *parent, const char *from, const char *to,
                      struct error *err)
{
    if (renameat(parent->fd, from, parent->fd, to) < 0) {
        if (errno == ENOTEMPTY)
            errno = EEXIST;
        return failed(err, parent, to, "made");
    }
    return sync_folder(parent, err);
}

int pki_folder_exchange(const struct pki_folder *parent, const char *one, const char *other,
                        struct error *err)
{
    if (renameat2(parent->fd, one, parent->fd, other, RENAME_EXCHANGE) < 0)
        return failed(err, parent, other, "replaced");
    return sync_folder(parent, err);
}

static int remove_entry(void *context, const struct pki_folder *folder, const char *name,
                        struct error *err)
{
    (void)context;
    (void)err;
    pki_folder_remove(folder, name);
    return 0;
}

void pki_folder_remove(const struct pki_folder *parent, const char *name)
{
    struct pki_folder folder = FOLDER_CLOSED;

    if (unlinkat(parent->fd, name, 0) == 0)
        return;
    if (open_at(&folder, parent->fd, name, O_NOFOLLOW, strdup(name), NULL) == 0) {
        (void)!pki_folder_each(&folder, remove_entry, NULL, NULL);
        pki_folder_close(&folder);
    }
    (void)unlinkat(parent->fd, name, AT_REMOVEDIR);
}
