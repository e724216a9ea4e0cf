/* Locks on a file or block device: see file-lock.h. */
#include "plugins/file/file-lock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugins/file/file-claim.h"
#include "plugins/file/file-loop.h"
#include "server/base/log.h"
#include "server/base/retry.h"

/* ---- file locks ---- */

/* Two writers of one image destroy it.  An open-file-description lock on the whole file goes
 * with the descriptor, whatever happens to us; QEMU's locks are of the same kind, cryptsetup's
 * (flock) are not in its way.
 *
 * Who uses a part of the file, such as a partition, locks those bytes, so that others can use
 * others.
 *
 * The first byte stands for the LUKS header: a server gives up the lock on it when it has read the
 * header and holds the rest, which nobody else's locks look like. */
#define HEADER_LOCK_BYTES 1

/* Each user of a file in QEMU locks, for reading, bytes 100 and up for what he does with it, and
 * 200 and up for what others must not do; the second of each is writing (block/file-posix.c in
 * QEMU).  Who has locked another part of the file stands there as well: a reader as one beside whom
 * nobody may write, a writer as one who does everything and forbids all. */
static const struct flock qemu_uses = { .l_start = 100, .l_len = 100 };
static const off_t qemu_writes = 101;
static const struct flock reader_mark = { .l_start = 201, .l_len = 3 };
static const struct flock writer_mark = { .l_start = 100, .l_len = 200 };

static int set_lock(int fd, short type, off_t start_bytes, off_t length_bytes)
{
    struct flock lock = {
        .l_type = type, .l_whence = SEEK_SET, .l_start = start_bytes, .l_len = length_bytes
    };

    int result;

    do {
        result = fcntl(fd, F_OFD_SETLK, &lock) == 0 ? 0 : -errno;
    } while (result == -EINTR);
    return result;
}

static bool is_taken(int result)
{
    return result == -EAGAIN || result == -EACCES;
}

/* Who has decided to go on in any case does not wait. */
static bool worth_waiting(struct retry *retry, const struct stage_settings *settings)
{
    return !settings->options.terms.force_in_use && retry_wait(retry);
}

/* What `code` of set_lock() means where nobody else has the lock: ENOLCK, ENOSYS, EOPNOTSUPP,
 * ... */
static int explain(int result, struct error *err)
{
    if (result == 0)
        return 0;
    return error_set(err, -ENOLCK,
                     "its storage can't lock it (%s), so that nothing keeps another program from "
                     "writing it meanwhile; --no-lock goes on without",
                     strerror(-result));
}

/* Is it used by a program that locks as QEMU does?  The kernel tells one of the locks that are in
 * our way; where it is that of a writer such as we are, nobody else can be there. */
static bool is_used_by_qemu(int fd)
{
    struct flock lock = qemu_uses;

    lock.l_type = F_WRLCK;
    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK &&
           !(lock.l_start == writer_mark.l_start && lock.l_len == writer_mark.l_len);
}

/* First our mark, then the look at theirs: QEMU does the same, so one of the two sees the other. */
static int stand_beside_qemu(int fd, bool read_only)
{
    const struct flock *mark = read_only ? &reader_mark : &writer_mark;
    int result = set_lock(fd, F_RDLCK, mark->l_start, mark->l_len);

    if (result == 0 && !read_only && is_used_by_qemu(fd)) {
        (void)set_lock(fd, F_UNLCK, mark->l_start, mark->l_len);
        return -EAGAIN;
    }
    return result;
}

/* Readers share all bytes with QEMU's locks, which are for reading, too; other readers of ours
 * lock the whole file. */
static bool is_written_by_qemu(int fd)
{
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = qemu_writes, .l_len = 1
    };

    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK &&
           !(lock.l_start == 0 && lock.l_len == 0);
}

/* As set_lock().  A part that begins at 0 has the bytes of QEMU in it. */
static int lock_part(const struct file_lock *lock, bool read_only, bool unchanged)
{
    int result =
        set_lock(lock->fd, read_only ? F_RDLCK : F_WRLCK, lock->start_bytes, lock->length_bytes);

    if (result == 0 && read_only && unchanged && is_written_by_qemu(lock->fd))
        result = -EAGAIN;
    if (result != 0 || lock->start_bytes == 0)
        return result;
    result = stand_beside_qemu(lock->fd, read_only);
    if (result != 0)
        (void)set_lock(lock->fd, F_UNLCK, lock->start_bytes, lock->length_bytes);
    return result;
}

static int lock_file(const struct file_lock *lock, const struct stage_settings *settings,
                     struct error *err)
{
    bool read_only = settings->options.read_only;
    struct retry retry = { 0 };

    do {
        int result = lock_part(lock, read_only, settings->options.unchanged);

        if (!is_taken(result))
            return explain(result, err);
    } while (worth_waiting(&retry, settings));
    return error_set(err, -EBUSY, "another program has it open for %s; end that first",
                     read_only ? "writing" : "use (is it being served already?)");
}

/* Does a server that has read its header hold the rest? */
static bool is_being_served(const struct file_lock *own)
{
    off_t start_bytes = own->start_bytes + HEADER_LOCK_BYTES;
    off_t length_bytes = own->length_bytes > 0 ? own->length_bytes - HEADER_LOCK_BYTES : 0;
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start_bytes, .l_len = length_bytes
    };

    return fcntl(own->fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK &&
           lock.l_start == start_bytes && lock.l_len == length_bytes;
}

/* All of it, or the header beside a server.  As set_lock(). */
static int try_header(struct file_lock *lock)
{
    int result = lock_part(lock, false, false);

    if (!is_taken(result))
        return result;
    result = set_lock(lock->fd, F_WRLCK, lock->start_bytes, HEADER_LOCK_BYTES);
    lock->beside_server = result == 0 && is_being_served(lock);
    if (result < 0 || lock->beside_server)
        return result;
    (void)set_lock(lock->fd, F_UNLCK, lock->start_bytes, HEADER_LOCK_BYTES);
    return -EAGAIN;
}

/* cryptsetup takes this one on a file while it works on its header. */
static bool try_flock(int fd, const struct stat *status)
{
    return S_ISBLK(status->st_mode) || flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
}

static int lock_header(struct file_lock *lock, const struct stat *status,
                       const struct stage_settings *settings, struct error *err)
{
    struct retry retry = { 0 };
    int result;

    while (is_taken(result = try_header(lock)))
        if (!worth_waiting(&retry, settings))
            return error_set(err, -EBUSY,
                             "another program has it open and may need its header (it is being "
                             "served with --raw or by another server, or its header is being "
                             "changed); end that first");
    if (result < 0)
        return explain(result, err);
    while (!try_flock(lock->fd, status))
        if (!worth_waiting(&retry, settings))
            return error_set(err, -EBUSY, "cryptsetup is working on its header; try again later");
    return 0;
}

/* ---- all of them ---- */

/* A failure, or a warning where the operator wants to go on.  Reading harms nobody where there are
 * no locks. */
static int as_agreed(int result, const struct stage_settings *settings, const struct error *why,
                     struct error *err)
{
    const struct lock_terms *terms = &settings->options.terms;

    if (result == -EBUSY && terms->force_in_use)
        log_warning("'%s': %s; going on (--force-in-use)", settings->path, why->text);
    else if (result == -ENOLCK && (terms->no_lock || settings->options.read_only))
        log_warning(
            "'%s': its storage can't lock it: see to it that nothing else writes it meanwhile",
            settings->path);
    else if (result < 0)
        return error_set(err, result, "%s", why->text);
    return 0;
}

static int lock_by_file_lock(struct file_lock *lock, const struct stat *status,
                             const struct stage_settings *settings, struct error *err)
{
    struct error why = { "" };
    int result;

    if (settings->options.header_only && !settings->options.read_only)
        result = lock_header(lock, status, settings, &why);
    else
        result = lock_file(lock, settings, &why);
    return as_agreed(result, settings, &why, err);
}

static void close_once(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

/* File locks are of a node in a file system, and a device may have several; and nobody who mounts
 * one asks for them.  Who reads only does not keep it, for others may read as well. */
static int claim_device(struct file_lock *lock, const struct stat *status,
                        const struct stage_settings *settings, struct error *err)
{
    struct retry retry = { 0 };
    struct error why = { "" };
    bool lasting;
    int result;

    if (!S_ISBLK(status->st_mode) || lock->beside_server)
        return 0;
    do {
        result = file_claim(&lock->claim_fd, &lasting, settings->path, !settings->options.read_only,
                            status, &why);
    } while (result == -EBUSY && !lasting && worth_waiting(&retry, settings));
    if (settings->options.read_only)
        close_once(&lock->claim_fd);
    return as_agreed(result, settings, &why, err);
}

/* The same file must not be written as a file and through a loop device: neither sees what the
 * other has in its cache. */
static int refuse_loop_device(const struct stat *status, const struct stage_settings *settings,
                              struct error *err)
{
    struct retry retry = { 0 };
    char name[FILE_LOOP_NAME_BYTES];
    struct error why = { "" };

    do {
        int found = file_loop_find(name, status, settings->options.read_only);

        if (found < 0)
            return error_set(err, found,
                             "whether it is the file behind a loop device can't be "
                             "told: %s",
                             strerror(-found));
        if (found == 0)
            return 0;
    } while (worth_waiting(&retry, settings));
    (void)error_set(&why, -EBUSY,
                    "it is the file behind /dev/%s; name that instead, detach it first (losetup "
                    "--detach /dev/%s), or give --force-in-use",
                    name, name);
    return as_agreed(-EBUSY, settings, &why, err);
}

static int try_loop_file(const struct file_loop_part *part, const struct stage_settings *settings,
                         struct error *err)
{
    struct retry retry = { 0 };

    do {
        int result = set_lock(part->fd, settings->options.read_only ? F_RDLCK : F_WRLCK,
                              (off_t)part->start_bytes, (off_t)part->length_bytes);

        if (!is_taken(result))
            return explain(result, err);
    } while (worth_waiting(&retry, settings));
    return error_set(err, -EBUSY, "another program has the file behind it open; end that first");
}

/* Of a loop device: who opens its file finds it locked, header and all. */
static int lock_loop_file(struct file_lock *lock, const struct stat *status,
                          const struct stage_settings *settings, struct error *err)
{
    struct file_loop_part part;
    struct error why = { "" };

    if (!S_ISBLK(status->st_mode) || lock->beside_server)
        return 0;
    if (file_loop_open_file(&part, lock->fd, status, settings->options.read_only, &why) < 0)
        log_warning("'%s': %s; it is not locked", settings->path, why.text);
    lock->loop_file_fd = part.fd;
    return part.fd < 0 ? 0 : as_agreed(try_loop_file(&part, settings, &why), settings, &why, err);
}

int file_lock_take(struct file_lock *out, int fd, const struct stage_settings *settings,
                   struct error *err)
{
    struct stat status;

    *out = (struct file_lock){
        .fd = fd,
        .start_bytes = (off_t)settings->part.offset_bytes,
        .length_bytes = (off_t)settings->part.size_bytes,
        .claim_fd = -1,
        .loop_file_fd = -1,
    };
    if (!settings->options.lock)
        return 0;
    if (fstat(fd, &status) != 0)
        return error_set(err, -errno, "its state could not be read: %s", strerror(errno));
    int result = lock_by_file_lock(out, &status, settings, err);
    if (result < 0 || (settings->options.header_only && settings->options.read_only))
        return result; /* a server with its header apart: whoever else reads it may do so */
    result = claim_device(out, &status, settings, err);
    if (result == 0)
        result = refuse_loop_device(&status, settings, err);
    return result < 0 ? result : lock_loop_file(out, &status, settings, err);
}

bool file_lock_covers(const struct file_lock *lock, const struct byte_range *part)
{
    uint64_t start_bytes = (uint64_t)lock->start_bytes, length_bytes = (uint64_t)lock->length_bytes;

    return start_bytes <= part->offset_bytes &&
           (length_bytes == 0 ||
            (part->size_bytes > 0 && part->size_bytes <= length_bytes &&
             part->offset_bytes - start_bytes <= length_bytes - part->size_bytes));
}

void file_lock_release_header(const struct file_lock *lock)
{
    (void)set_lock(lock->fd, F_UNLCK, lock->start_bytes, HEADER_LOCK_BYTES);
}

void file_lock_release(struct file_lock *lock)
{
    close_once(&lock->claim_fd);
    close_once(&lock->loop_file_fd);
}
