#include "server/attach/attach-record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/base/file-io.h"
#include "server/base/retry.h"

#define FOLDER "/run/nbdcrypt-attach"
#define PATH_BYTES 64u
#define LOCK_MODE 0600 /* who can open one can lock it, and keep root from what it is for */

static const char plain[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789#+-.:=@_";

void attach_record_link(char link[ATTACH_LINK_BYTES], const char *name)
{
    size_t used = 0;

    /* Neither "." nor "..", nor a hidden one. */
    for (const char *at = name; *at != '\0' && used + 5 < ATTACH_LINK_BYTES; at++) {
        if (strchr(plain, *at) != NULL && (at != name || *at != '.'))
            link[used++] = *at;
        else
            used += (size_t)snprintf(link + used, 5, "\\x%02x", (unsigned char)*at);
    }
    link[used] = '\0';
}

static void make_path(char path[PATH_BYTES], unsigned index, const char *suffix)
{
    snprintf(path, PATH_BYTES, "%s/nbd%u%s", FOLDER, index, suffix);
}

/* ---- reading ---- */

static bool take_text(char *out, size_t room_bytes, const char *line, const char *key)
{
    size_t length = strlen(key);

    if (strncmp(line, key, length) != 0 || line[length] != '=')
        return false;
    snprintf(out, room_bytes, "%s", line + length + 1);
    return true;
}

static void take_line(struct attach_record *out, const char *line)
{
    struct {
        const char *key;
        unsigned *value;
    } const numbers[] = {
        { "NBDCRYPT_FLAGS", &out->flags },
        { "NBDCRYPT_CONNECTIONS", &out->connections },
        { "NBDCRYPT_DEAD", &out->dead },
        { "NBDCRYPT_TIMEOUT", &out->timeout_seconds },
        { "NBDCRYPT_DEAD_TIMEOUT", &out->dead_timeout_seconds },
    };
    char text[32];

    if (take_text(out->name, sizeof out->name, line, "NBDCRYPT_NAME") ||
        take_text(out->source, sizeof out->source, line, "NBDCRYPT_SOURCE") ||
        take_text(out->uuid, sizeof out->uuid, line, "NBDCRYPT_UUID") ||
        take_text(out->link, sizeof out->link, line, "NBDCRYPT_LINK"))
        return;
    if (take_text(text, sizeof text, line, "NBDCRYPT_SIZE"))
        out->size_bytes = strtoull(text, NULL, 10);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (take_text(text, sizeof text, line, numbers[i].key))
            *numbers[i].value = (unsigned)strtoul(text, NULL, 10);
}

int attach_record_read(struct attach_record *out, unsigned index, struct error *err)
{
    char path[PATH_BYTES], *line = NULL;
    size_t room_bytes = 0;
    ssize_t length;

    *out = (struct attach_record){ .size_bytes = 0 };
    make_path(path, index, "");
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return error_set(err, -errno, "/dev/nbd%u was not attached by nbdcrypt", index);
    while ((length = getline(&line, &room_bytes, file)) > 0) {
        line[strcspn(line, "\n")] = '\0';
        take_line(out, line);
    }
    free(line);
    (void)fclose(file);
    return 0;
}

/* ---- writing ---- */

static int make_folder(struct error *err)
{
    struct stat found;

    if (geteuid() != 0)
        return error_set(err, -EPERM, "only root (CAP_SYS_ADMIN) may do that");
    if (mkdir(FOLDER, 0755) != 0 && errno != EEXIST)
        return error_set(err, -errno, "%s can't be made: %s", FOLDER, strerror(errno));
    /* What stands there is believed, so it is root's. */
    if (lstat(FOLDER, &found) != 0 || !S_ISDIR(found.st_mode) || found.st_uid != 0 ||
        (found.st_mode & 022) != 0)
        return error_set(err, -EPERM, "%s is not a folder of root's alone: remove it", FOLDER);
    return 0;
}

static bool print(FILE *file, const struct attach_record *record)
{
    return fprintf(file,
                   "NBDCRYPT_NAME=%s\nNBDCRYPT_SOURCE=%s\nNBDCRYPT_UUID=%s\nNBDCRYPT_LINK=%s\n"
                   "NBDCRYPT_SIZE=%llu\nNBDCRYPT_FLAGS=%u\nNBDCRYPT_CONNECTIONS=%u\n"
                   "NBDCRYPT_DEAD=%u\nNBDCRYPT_TIMEOUT=%u\nNBDCRYPT_DEAD_TIMEOUT=%u\n",
                   record->name, record->source, record->uuid, record->link,
                   (unsigned long long)record->size_bytes, record->flags, record->connections,
                   record->dead, record->timeout_seconds, record->dead_timeout_seconds) > 0;
}

int attach_record_write(const struct attach_record *record, unsigned index, struct error *err)
{
    char path[PATH_BYTES], new_path[PATH_BYTES];
    int result = make_folder(err);

    if (result < 0)
        return result;
    make_path(path, index, "");
    make_path(new_path, index, ".new");
    FILE *file = fopen(new_path, "we");
    bool written = file != NULL && print(file, record);
    if (file != NULL && fclose(file) != 0)
        written = false;
    if (written && rename(new_path, path) == 0)
        return 0;
    result = error_set(err, -EIO, "%s can't be written: %s", path, strerror(errno));
    (void)unlink(new_path);
    return result;
}

void attach_record_remove(unsigned index)
{
    char path[PATH_BYTES];

    make_path(path, index, "");
    (void)unlink(path);
}

/* ---- all of them ---- */

void attach_record_backend(char out[NBD_BACKEND_BYTES], const struct attach_record *record)
{
    snprintf(out, NBD_BACKEND_BYTES, "%s%s%s", record->name, record->uuid[0] != '\0' ? " " : "",
             record->uuid);
}

bool attach_record_is_of(const struct attach_record *record, unsigned index)
{
    char expected[NBD_BACKEND_BYTES], found[NBD_BACKEND_BYTES];

    attach_record_backend(expected, record);
    nbd_device_backend(found, index);
    return nbd_device_is_attached(index) && strcmp(found, expected) == 0;
}

struct search {
    const char *name;
    struct attach_record *out;
    unsigned *index;
};

static int look(void *context, unsigned index)
{
    const struct search *search = context;

    if (attach_record_read(search->out, index, NULL) < 0 ||
        strcmp(search->out->name, search->name) != 0 || !attach_record_is_of(search->out, index))
        return 0;
    *search->index = index;
    return 1;
}

int attach_record_find(unsigned *index, struct attach_record *out, const char *name)
{
    struct search search = { .name = name, .out = out, .index = index };

    return nbd_device_each(look, &search) == 1 ? 0 : -ENOENT;
}

struct lost_search {
    const struct attach_record *record;
    unsigned *index;
};

static int look_for_lost(void *context, unsigned index)
{
    static struct attach_record found;
    const struct lost_search *search = context;

    if (!attach_record_is_of(search->record, index) ||
        (attach_record_read(&found, index, NULL) == 0 && attach_record_is_of(&found, index)))
        return 0;
    *search->index = index;
    return 1;
}

int attach_record_find_lost(unsigned *index, const struct attach_record *record)
{
    struct lost_search search = { .record = record, .index = index };

    return nbd_device_each(look_for_lost, &search) == 1 ? 0 : -ENOENT;
}

/* ---- the lock ---- */

static int open_lock(unsigned index, int flags)
{
    char path[PATH_BYTES];

    make_path(path, index, ".lock");
    return open(path, flags | O_CLOEXEC | O_NOFOLLOW, LOCK_MODE);
}

/* A byte of one file for each name: FNV-1a, of 62 bits. */
int attach_record_lock_name(const char *name, struct error *err)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
    uint64_t hash = 0xcbf29ce484222325u;
    int result = make_folder(err);

    if (result < 0)
        return result;
    for (const char *at = name; *at != '\0'; at++)
        hash = (hash ^ (unsigned char)*at) * 0x100000001b3u;
    lock.l_start = (off_t)(hash >> 2);
    int fd = open(FOLDER "/names.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, LOCK_MODE);
    if (fd < 0)
        return error_set(err, -errno, FOLDER "/names.lock can't be opened: %s", strerror(errno));
    if (fcntl(fd, F_OFD_SETLKW, &lock) == 0)
        return fd;
    result = error_set(err, -errno, FOLDER "/names.lock can't be locked: %s", strerror(errno));
    close(fd);
    return result;
}

int attach_record_lock_tab(struct error *err)
{
    return attach_record_lock_name("\n", err); /* which is no name */
}

/* The lock is the open file's: one of the process would go when it looks at the file itself. */
static bool take_lock(int fd)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

    if (fcntl(fd, F_OFD_SETLK, &lock) != 0)
        return false;
    if (ftruncate(fd, 0) == 0)
        (void)dprintf(fd, "%d\n", (int)getpid());
    return true;
}

/* One that has just been detached may have a supervisor that is about to end. */
int attach_record_lock(unsigned index, struct error *err)
{
    struct retry retry = { .tries = 0 };
    int result = make_folder(err);
    int fd = result == 0 ? open_lock(index, O_RDWR | O_CREAT) : result;

    if (result < 0)
        return result;
    if (fd < 0)
        return error_set(err, -errno, "the lock of /dev/nbd%u can't be opened: %s", index,
                         strerror(errno));
    do {
        if (take_lock(fd))
            return fd;
    } while (retry_wait(&retry));
    close(fd);
    return error_set(err, -EBUSY, "another nbdcrypt attach looks after /dev/nbd%u", index);
}

int attach_record_try_lock(unsigned index)
{
    int fd = open_lock(index, O_RDWR);

    if (fd < 0)
        return -errno;
    if (take_lock(fd))
        return fd;
    close(fd);
    return -EBUSY;
}

pid_t attach_record_supervisor(unsigned index)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    char text[16] = "";
    int fd = open_lock(index, O_RDONLY);
    if (fd < 0 && errno == EACCES)
        return -EACCES;
    bool held = fd >= 0 && fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    size_t length_bytes;

    if (held && file_io_read(fd, text, sizeof text - 1, &length_bytes) < 0)
        held = false;
    if (fd >= 0)
        close(fd);
    return held ? (pid_t)strtol(text, NULL, 10) : 0;
}
