#include "tests/sim/files.h"

#include <errno.h>
#include <linux/falloc.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/sim/disk.h"
#include "tests/sim/network.h"
#include "tests/sim/schedule.h"
#include "tests/sim/texts.h"
#include "tests/sim/trace.h"
#include "tests/sim/wrap.h"

#define FILES_MAX 4096
#define LOCKS_MAX 256

struct file {
    bool open, writable;
    unsigned host;
    struct disk *disk;
    struct endpoint *endpoint;
    uint64_t syncs_failed; /* of the disk, as far as it was told */
};

/* Of an open file description; `end` is behind the last byte. */
struct lock {
    int file;
    short type;
    uint64_t start, end;
};

static struct file files[FILES_MAX];
static struct lock locks[LOCKS_MAX];
static unsigned lock_count;

static struct file *file_of(int fd)
{
    if (fd < SIM_FD_FIRST || fd >= SIM_FD_FIRST + FILES_MAX)
        return NULL;
    struct file *file = &files[fd - SIM_FD_FIRST];
    if (!file->open)
        sim_fail("descriptor %d is used, and closed", fd);
    return file;
}

struct disk *file_disk(int fd)
{
    struct file *file = file_of(fd);

    return file != NULL ? file->disk : NULL;
}

struct endpoint *file_endpoint(int fd)
{
    struct file *file = file_of(fd);

    return file != NULL ? file->endpoint : NULL;
}

static int add(const struct file *what)
{
    for (int i = 0; i < FILES_MAX; i++) {
        if (files[i].open)
            continue;
        files[i] = *what;
        files[i].open = true;
        return SIM_FD_FIRST + i;
    }
    sim_fail("too many descriptors");
}

int file_of_endpoint(struct endpoint *endpoint, unsigned host)
{
    return add(&(struct file){ .endpoint = endpoint, .host = host });
}

bool file_sync_fails(int fd, bool fails)
{
    struct file *file = file_of(fd);
    uint64_t failed = disk_syncs_failed(file->disk);
    bool told = fails || failed > file->syncs_failed;

    file->syncs_failed = failed;
    return told;
}

void file_connects(int fd, struct endpoint *endpoint)
{
    file_of(fd)->endpoint = endpoint;
}

static void drop_locks(int index)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < lock_count; i++)
        if (locks[i].file != index)
            locks[kept++] = locks[i];
    lock_count = kept;
}

static void close_file(int index)
{
    struct file *file = &files[index];

    drop_locks(index);
    if (file->endpoint != NULL)
        endpoint_close(file->endpoint);
    file->open = false;
}

void files_close_all(unsigned host)
{
    for (int i = 0; i < FILES_MAX; i++)
        if (files[i].open && files[i].host == host)
            close_file(i);
}

unsigned files_open_count(unsigned host)
{
    unsigned count = 0;

    for (int i = 0; i < FILES_MAX; i++)
        count += files[i].open && files[i].host == host;
    return count;
}

/* ---- system calls ---- */

static int open_image(const char *name, int flags)
{
    struct disk *disk = disk_find(name);

    if (disk == NULL) {
        int fd = text_open(name);

        errno = ENOENT;
        return fd;
    }
    return add(&(struct file){
        .disk = disk,
        .host = fiber_host(),
        .writable = (flags & O_ACCMODE) != O_RDONLY,
        .syncs_failed = disk_syncs_failed(disk), /* somebody has been told of these */
    });
}

static bool is_simulated(const char *path)
{
    return strncmp(path, SIM_FOLDER, strlen(SIM_FOLDER)) == 0;
}

int __wrap_open(const char *path, int flags, ...)
{
    va_list args;
    mode_t mode = 0;

    if (is_simulated(path))
        return open_image(path + strlen(SIM_FOLDER), flags);
    va_start(args, flags);
    if (flags & (O_CREAT | O_TMPFILE))
        mode = va_arg(args, mode_t);
    va_end(args);
    return __real_open(path, flags, mode);
}

/* Of small files only whether they are there is asked by name. */
static int look_at(const char *path, struct stat *out)
{
    if (text_is_there(path + strlen(SIM_FOLDER))) {
        *out = (struct stat){ .st_mode = S_IFREG | 0600 };
        return 0;
    }
    errno = ENOENT;
    return -1;
}

int __wrap_stat(const char *path, struct stat *out)
{
    return is_simulated(path) ? look_at(path, out) : __real_stat(path, out);
}

int __wrap_lstat(const char *path, struct stat *out)
{
    return is_simulated(path) ? look_at(path, out) : __real_lstat(path, out);
}

int __wrap___open_2(const char *path, int flags)
{
    return __wrap_open(path, flags);
}

int __wrap_close(int fd)
{
    if (file_of(fd) == NULL)
        return __real_close(fd);
    close_file(fd - SIM_FD_FIRST);
    return 0;
}

int __wrap_fstat(int fd, struct stat *out)
{
    const struct disk *disk = file_disk(fd);

    if (disk == NULL)
        return __real_fstat(fd, out);
    *out = (struct stat){ .st_mode = S_IFREG | 0600,
                          .st_dev = 7,
                          .st_ino = 100 + disk_number(disk),
                          .st_size = (off_t)disk_size(disk),
                          .st_blksize = 4096 };
    return 0;
}

off_t __wrap_lseek(int fd, off_t offset, int whence)
{
    const struct disk *disk = file_disk(fd);

    if (disk == NULL)
        return __real_lseek(fd, offset, whence);
    if (whence == SEEK_END)
        return (off_t)disk_size(disk) + offset;
    if (whence != SEEK_DATA && whence != SEEK_HOLE)
        sim_fail("lseek() with whence %d is not modelled", whence);
    off_t found = disk_seek(disk, (uint64_t)offset, whence == SEEK_DATA);
    if (found < 0)
        errno = ENXIO;
    return found;
}

int __wrap_fstatfs(int fd, struct statfs *out)
{
    if (file_of(fd) == NULL)
        return __real_fstatfs(fd, out);
    *out = (struct statfs){ .f_type = 0xef53 };
    return 0;
}

/* ---- locks ---- */

static const struct lock *conflict(int index, const struct lock *wanted)
{
    for (unsigned i = 0; i < lock_count; i++) {
        const struct lock *lock = &locks[i];

        if (lock->file != index && files[lock->file].disk == files[index].disk &&
            lock->start < wanted->end && wanted->start < lock->end &&
            (lock->type == F_WRLCK || wanted->type == F_WRLCK))
            return lock;
    }
    return NULL;
}

static void add_lock(struct lock lock)
{
    if (lock_count == LOCKS_MAX)
        sim_fail("too many locks");
    if (lock.start < lock.end)
        locks[lock_count++] = lock;
}

/* The owner's locks there are replaced. */
static void replace(int index, const struct lock *wanted)
{
    unsigned count = lock_count;
    struct lock before[LOCKS_MAX];

    memcpy(before, locks, sizeof(before));
    lock_count = 0;
    for (unsigned i = 0; i < count; i++) {
        struct lock left = before[i], right = before[i];

        if (before[i].file != index || before[i].start >= wanted->end ||
            wanted->start >= before[i].end) {
            add_lock(before[i]);
            continue;
        }
        left.end = wanted->start;
        right.start = wanted->end;
        add_lock(left);
        add_lock(right);
    }
    if (wanted->type != F_UNLCK)
        add_lock(*wanted);
}

static struct lock lock_of(int index, const struct flock *flock)
{
    uint64_t start = (uint64_t)flock->l_start;

    return (struct lock){ .file = index,
                          .type = flock->l_type,
                          .start = start,
                          .end = flock->l_len > 0 ? start + (uint64_t)flock->l_len : INT64_MAX };
}

static int lock_call(int index, int command, struct flock *flock)
{
    struct lock wanted = lock_of(index, flock);
    const struct lock *other = flock->l_type != F_UNLCK ? conflict(index, &wanted) : NULL;

    if (command == F_OFD_SETLK && other != NULL) {
        errno = EAGAIN;
        return -1;
    }
    if (command == F_OFD_SETLK) {
        replace(index, &wanted);
        return 0;
    }
    if (other == NULL) {
        flock->l_type = F_UNLCK;
        return 0;
    }
    flock->l_type = other->type;
    flock->l_start = (off_t)other->start;
    flock->l_len = other->end == INT64_MAX ? 0 : (off_t)(other->end - other->start);
    return 0;
}

int __wrap_fcntl(int fd, int command, ...)
{
    va_list args;

    va_start(args, command);
    void *argument = va_arg(args, void *);
    va_end(args);
    if (file_of(fd) == NULL)
        return __real_fcntl(fd, command, argument);
    if (command == F_GETFL || command == F_SETFL)
        return 0;
    if (command != F_OFD_SETLK && command != F_OFD_GETLK)
        sim_fail("fcntl() with command %d is not modelled", command);
    return lock_call(fd - SIM_FD_FIRST, command, argument);
}

int __wrap_flock(int fd, int operation)
{
    (void)fd;
    (void)operation;
    return 0;
}

/* The pages of secrets that were used before a seed was forked off are there in its process, too.
 */
int __wrap_madvise(void *at, size_t length_bytes, int advice)
{
    return advice == MADV_DONTFORK ? 0 : __real_madvise(at, length_bytes, advice);
}

/* The machine's own loop devices are no part of the simulated world. */
int __wrap_file_loop_find(char name[FILE_LOOP_NAME_BYTES], const struct stat *status,
                          bool read_only)
{
    (void)name;
    (void)status;
    (void)read_only;
    return 0;
}
