/* Locks on a file or block device: see file-lock.h. */
#include "plugins/file-lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

#include "server/patience.h"

/* Two writers of one image destroy it.  An open-file-description lock on the whole file goes
 * with the descriptor, whatever happens to us; QEMU's locks are of the same kind, cryptsetup's
 * (flock) are not in its way.  File systems without locks go without.
 *
 * Byte 0 stands for the LUKS header: a server gives up the lock on it when it has read the header and
 * holds the rest, from byte 1, which nobody else's locks look like. */
#define HEADER_LOCK_BYTES 1

static int set_lock(int fd, short type, off_t start_bytes, off_t length_bytes)
{
    struct flock lock = {
        .l_type = type, .l_whence = SEEK_SET, .l_start = start_bytes, .l_len = length_bytes
    };

    return fcntl(fd, F_OFD_SETLK, &lock) == 0 ? 0 : -errno;
}

static bool is_taken(int code)
{
    return code == -EAGAIN || code == -EACCES;
}

static int lock_file(int fd, bool read_only, struct error *err)
{
    struct patience patience = { 0 };

    do {
        if (!is_taken(set_lock(fd, read_only ? F_RDLCK : F_WRLCK, 0, 0)))
            return 0;
    } while (patience_lasts(&patience));
    return error_set(err, -EBUSY,
                     "another program has it open for %s; end that first",
                     read_only ? "writing" : "use (is it being served already?)");
}

/* Does a server that has read its header hold the rest? */
static bool is_being_served(int fd)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = HEADER_LOCK_BYTES };

    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK &&
           lock.l_start == HEADER_LOCK_BYTES && lock.l_len == 0;
}

/* All of it, or the header beside a server. */
static bool try_header(int fd)
{
    if (!is_taken(set_lock(fd, F_WRLCK, 0, 0)))
        return true;
    if (is_taken(set_lock(fd, F_WRLCK, 0, HEADER_LOCK_BYTES)))
        return false;
    if (is_being_served(fd))
        return true;
    (void)set_lock(fd, F_UNLCK, 0, HEADER_LOCK_BYTES);
    return false;
}

/* cryptsetup takes this one on a file while it works on its header. */
static bool try_flock(int fd, bool block_device)
{
    return block_device || flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
}

static int lock_header(int fd, bool block_device, struct error *err)
{
    struct patience patience = { 0 };

    while (!try_header(fd))
        if (!patience_lasts(&patience))
            return error_set(err, -EBUSY,
                             "another program has it open and may need its header (it is being "
                             "served with --raw or by another server, or its header is being "
                             "changed); end that first");
    while (!try_flock(fd, block_device))
        if (!patience_lasts(&patience))
            return error_set(err, -EBUSY, "cryptsetup is working on its header; try again later");
    return 0;
}

int file_lock_take(int fd, bool block_device, const struct stage_settings *settings,
                   struct error *err)
{
    if (!settings->lock)
        return 0;
    if (settings->header_only && !settings->read_only)
        return lock_header(fd, block_device, err);
    return lock_file(fd, settings->read_only, err);
}

void file_lock_release_header(int fd)
{
    (void)set_lock(fd, F_UNLCK, 0, HEADER_LOCK_BYTES);
}
