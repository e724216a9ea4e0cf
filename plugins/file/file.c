#include "plugins/file/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include "plugins/file/file-extents.h"
#include "plugins/file/file-stage.h"
#include "server/base/open-error.h"

#define PREFERRED_BYTES_MAX 1048576u /* what claims more means something else */

struct file_layer {
    struct layer layer;
    struct loop_file file, sync_file;
    struct loop_file claim_file; /* for fallocate(), see release_start() */
    bool at_once;
};

static void sync_start(struct request *leader, uint64_t start_bytes, uint64_t end_bytes);

/* ---- opening ---- */

static int check_kind(struct file_stage *file, const struct stat *status, struct error *err)
{
    if (S_ISBLK(status->st_mode)) {
        file->block_device = true;
        return 0;
    }
    if (S_ISREG(status->st_mode))
        return 0;
    return error_set(err, -EINVAL, "it is %s; nbdcrypt serves regular files and block devices",
                     S_ISDIR(status->st_mode) ? "a directory"
                                              : "neither a file nor a block device");
}

static uint32_t logical_block(int fd)
{
    int block_bytes = 0;

    return ioctl(fd, BLKSSZGET, &block_bytes) == 0 && block_bytes >= 512 ? (uint32_t)block_bytes
                                                                         : 4096;
}

/* What O_DIRECT wants offsets, lengths and memory to be multiples of. */
static uint32_t direct_alignment(int fd)
{
#ifdef STATX_DIOALIGN
    struct statx status;

    if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) == 0 &&
        (status.stx_mask & STATX_DIOALIGN) && status.stx_dio_offset_align > 0)
        return status.stx_dio_offset_align > 512 ? status.stx_dio_offset_align : 512;
#endif
    return logical_block(fd);
}

/* What its storage reads and writes at once: of a device its physical block. */
static uint32_t preferred_block(const struct file_stage *file, const struct stat *status)
{
    unsigned physical = 0;
    uint64_t block = (uint64_t)status->st_blksize;

    if (file->block_device)
        block = ioctl(file->fd, BLKPBSZGET, &physical) == 0 ? physical : 0;
    if (block < 4096 || block > PREFERRED_BYTES_MAX || (block & (block - 1)) != 0)
        block = 4096;
    return block > file->release_bytes ? (uint32_t)block : file->release_bytes;
}

static const char cannot_write[] =
    "it can't be opened for writing: %s; --read-only serves it without";

/* Such a device can be opened for writing all the same, and no write of it would succeed. */
static int check_writable(const struct file_stage *file, bool read_only, struct error *err)
{
    int set_read_only = 0;

    if (!file->block_device || read_only || ioctl(file->fd, BLKROGET, &set_read_only) != 0 ||
        set_read_only == 0)
        return 0;
    return error_set(err, -EROFS, cannot_write, "the device is set read-only (blockdev --setrw)");
}

/* Where SEEK_HOLE takes what has been written and is still in the page cache for data, on which
 * reads depend.  OpenZFS did not (before 2.2.2), and FUSE asks a process, which does not know of
 * that. */
static bool tells_holes_truly(int fd)
{
    struct statfs status;

    if (fstatfs(fd, &status) != 0)
        return false;
    switch (status.f_type) {
    case EXT4_SUPER_MAGIC:
    case XFS_SUPER_MAGIC:
    case BTRFS_SUPER_MAGIC:
    case F2FS_SUPER_MAGIC:
    case TMPFS_MAGIC:
    case OVERLAYFS_SUPER_MAGIC:
    case NFS_SUPER_MAGIC:
        return true;
    default:
        return false;
    }
}

/* A tmpfs goes through all pages up to the next hole: a look for each of many reads takes longer
 * than the reads. */
static bool finds_holes_quickly(int fd)
{
    struct statfs status;

    return fstatfs(fd, &status) == 0 && status.f_type != TMPFS_MAGIC;
}

static int measure(struct file_stage *file, const struct stage_settings *settings,
                   struct error *err)
{
    struct stat status;

    if (fstat(file->fd, &status) != 0)
        return error_set(err, -errno, "its state could not be read: %s", strerror(errno));
    int result = check_kind(file, &status, err);
    if (result == 0)
        result = check_writable(file, settings->options.read_only, err);
    if (result < 0)
        return result;
    off_t end = lseek(file->fd, 0, SEEK_END); /* st_size is 0 for a block device */
    if (end < 0)
        return error_set(err, -errno, "its size could not be read: %s", strerror(errno));

    file->holes_are_true =
        settings->options.offload != NULL && !file->block_device && tells_holes_truly(file->fd);
    file->release_bytes = file->block_device ? logical_block(file->fd) : 1;
    uint32_t block = settings->options.direct ? direct_alignment(file->fd) : 1;
    uint32_t preferred = preferred_block(file, &status);

    if (preferred < block)
        preferred = block;
    uint32_t ops = OP_BIT(REQUEST_READ) | OP_BIT(REQUEST_WRITE) | OP_BIT(REQUEST_FLUSH) |
                   OP_BIT(REQUEST_TRIM) | OP_BIT(REQUEST_ZERO) | OP_BIT(REQUEST_CACHE);
    if (settings->options.offload != NULL)
        ops |= OP_BIT(REQUEST_EXTENTS);
    file->stage.limits = (struct limits){
        .size_bytes = (uint64_t)end / block * block,
        .block_min_bytes = block,
        .block_preferred_bytes = preferred,
        .phase_bytes = 1,
        .ops = ops,
        .fua = true,
        .tells_zeros = file->holes_are_true && finds_holes_quickly(file->fd),
        .read_only = settings->options.read_only,
        .multi_conn = true, /* one descriptor: an fdatasync covers every connection's writes */
    };
    return 0;
}

static void file_header_was_read(struct stage *stage)
{
    file_lock_release_header(&container_of(stage, struct file_stage, stage)->lock);
}

/* A description of its own has locks of its own.  Where the file can't be opened by us, that of
 * whoever lent it is shared with him. */
static int open_lent(int lent, int flags, struct error *err)
{
    int has = fcntl(lent, F_GETFL);
    char path[32];

    if (has < 0)
        return error_set(err, -errno, "its descriptor can't be used: %s", strerror(errno));
    if ((has & O_ACCMODE) != O_RDWR && (has & O_ACCMODE) != (flags & O_ACCMODE))
        return error_set(err, -EACCES, "its descriptor is not open for %s",
                         (flags & O_ACCMODE) == O_RDONLY
                             ? "reading"
                             : "writing; with the option read-only it is served without");
    snprintf(path, sizeof path, "/proc/self/fd/%d", lent);
    int fd = open(path, flags | O_NONBLOCK);
    if (fd >= 0)
        return fd;
    fd = fcntl(lent, F_DUPFD_CLOEXEC, 3);
    if (fd >= 0 && (flags & O_DIRECT) != 0 && fcntl(fd, F_SETFL, has | O_DIRECT) < 0) {
        close(fd);
        fd = -1;
    }
    return fd >= 0 ? fd
                   : error_set(err, -errno, "its descriptor can't be used: %s", strerror(errno));
}

static int open_path(const struct stage_settings *settings, struct error *err)
{
    int flags = (settings->options.read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY |
                (settings->options.direct ? O_DIRECT : 0);

    if (settings->options.fd > 0)
        return open_lent((int)settings->options.fd, flags, err);
    int fd = open(settings->path, flags | O_NONBLOCK); /* NONBLOCK: a FIFO must not hang us */
    if (fd >= 0)
        return fd;
    int result = -errno;
    bool readable = faccessat(AT_FDCWD, settings->path, R_OK, AT_EACCESS) == 0;
    if (result == -EROFS || (result == -EACCES && !settings->options.read_only && readable))
        return error_set(err, result, cannot_write, open_error(result, settings->path).text);
    if (result == -EBUSY)
        return error_set(err, result,
                         "it is in use (mounted?), and the kernel lets nobody write it; end "
                         "that first");
    if (result == -EINVAL && settings->options.direct)
        return error_set(err, result, "its file system has no O_DIRECT; leave out --direct");
    return error_set(err, result, "it can't be opened: %s",
                     open_error(result, settings->path).text);
}

/* A header and its data on one device, say. */
static bool is_same_image(const struct file_stage *file, const struct stage_settings *settings)
{
    const struct stage *beside = settings->options.beside;
    struct stat a, b;

    if (beside == NULL || beside->ops != &file_ops)
        return false;
    const struct file_stage *other = container_of(beside, struct file_stage, stage);
    if (fstat(file->fd, &a) != 0 || fstat(other->fd, &b) != 0 ||
        !file_lock_covers(&other->lock, &settings->part))
        return false;
    return S_ISBLK(a.st_mode) ? S_ISBLK(b.st_mode) && a.st_rdev == b.st_rdev
                              : a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static int lock_stage(struct stage *stage, const struct stage_settings *settings, struct error *err)
{
    struct file_stage *file = container_of(stage, struct file_stage, stage);

    if (is_same_image(file, settings))
        return 0;
    return file_lock_take(&file->lock, file->fd, settings, err);
}

static void file_close(struct stage *stage)
{
    struct file_stage *file = container_of(stage, struct file_stage, stage);

    if (file->sync_fd >= 0 && file->sync_fd != file->fd)
        close(file->sync_fd);
    if (file->fd >= 0)
        close(file->fd);
    file_lock_release(&file->lock);
    group_sync_destroy(&file->sync);
    free(file);
}

/* On NFS a write that fails with ENOSPC, EDQUOT or EFBIG has taken what the descriptor would have
 * told the next fdatasync() of earlier writes.  Each descriptor is told, so one that is never
 * written to hears of all. (Elsewhere no write takes it, and file systems of FUSE may sync what was
 * written by that descriptor alone.) */
static int open_for_sync(int fd)
{
    struct statfs status;
    char path[32];

    if (fstatfs(fd, &status) != 0 || status.f_type != NFS_SUPER_MAGIC)
        return fd;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int sync_fd = open(path, O_RDWR | O_CLOEXEC);
    return sync_fd >= 0 ? sync_fd : fd;
}

/* If they heed locks. */
static bool nobody_else_writes(const struct file_stage *file, const struct image_options *options)
{
    return options->lock && !options->read_only && !options->terms.force_in_use &&
           !options->terms.no_lock && file->holes_are_true;
}

static int file_open(struct stage **out, const struct stage_settings *settings, struct error *err)
{
    struct file_stage *file = calloc(1, sizeof *file);

    if (file == NULL)
        return error_no_memory(err, NULL);
    file->offload = settings->options.offload;
    file->stage.ops = &file_ops;
    file->lock = (struct file_lock){ .claim_fd = -1, .loop_file_fd = -1 };
    file->stage.sync = &file->sync;
    file->sync_fd = -1;
    file->fd = open_path(settings, err);
    int result = file->fd < 0 ? file->fd : 0;
    if (result == 0)
        result = measure(file, settings, err);
    if (result == 0 && !settings->lock_later)
        result = lock_stage(&file->stage, settings, err);
    if (result == 0)
        result =
            group_sync_init(&file->sync, settings->options.offload != NULL ? settings->path : NULL,
                            sync_start, err);
    if (result < 0) {
        file_close(&file->stage);
        return result;
    }
    file->sync_fd = open_for_sync(file->fd);
    file->at_once = settings->options.at_once && !settings->options.direct && !file->block_device;
    file->hole.used = nobody_else_writes(file, &settings->options);
    *out = &file->stage;
    return 0;
}

static void file_grow(struct stage *stage)
{
    struct file_stage *file = container_of(stage, struct file_stage, stage);
    off_t end = lseek(file->fd, 0, SEEK_END);
    uint64_t block = stage->limits.block_min_bytes;

    file_hole_written(&file->hole); /* whoever made it larger may have written there */
    if (end > 0)
        limits_grow(&stage->limits, (uint64_t)end / block * block);
}

static int file_attach(struct layer **out, struct stage *stage, struct layer *below,
                       struct loop *loop, struct error *err)
{
    struct file_stage *owner = container_of(stage, struct file_stage, stage);
    struct file_layer *file = calloc(1, sizeof *file);

    if (file == NULL)
        return error_no_memory(err, NULL);
    file->layer = (struct layer){ .ops = &file_ops, .stage = stage, .below = below, .loop = loop };
    loop_file_init(loop, &file->file, owner->fd);
    file->at_once = owner->at_once;
    file->sync_file = file->file;
    if (owner->sync_fd != owner->fd)
        loop_file_init(loop, &file->sync_file, owner->sync_fd);
    file->claim_file = file->file;
    if (owner->lock.claim_fd >= 0)
        loop_file_init(loop, &file->claim_file, owner->lock.claim_fd);
    *out = &file->layer;
    return 0;
}

static void file_detach(struct layer *layer)
{
    struct file_layer *file = container_of(layer, struct file_layer, layer);

    if (file->sync_file.fd != file->file.fd)
        loop_file_release(layer->loop, &file->sync_file);
    if (file->claim_file.fd != file->file.fd)
        loop_file_release(layer->loop, &file->claim_file);
    loop_file_release(layer->loop, &file->file);
    free(file);
}

/* ---- requests ---- */

static void transfer_start(struct request *req);
static void transfer_done(struct io_event *ev, int result);
static void write_finish(struct request *req);
static void change_finish(struct request *req);
static void sync_done(struct io_event *ev, int result);
static void release_start(struct request *req, int mode);
static void release_done(struct io_event *ev, int result);
static void zero_edges(struct request *req);
static void zeros_write(struct request *req);
static void zeros_written(struct io_event *ev, int result);
static void readahead_done(struct io_event *ev, int result);

static struct file_layer *layer_of(const struct request *req)
{
    return container_of(req->backend, struct file_layer, layer);
}

static struct file_stage *stage_of(const struct request *req)
{
    return container_of(req->backend->stage, struct file_stage, stage);
}

static bool interrupted(int result)
{
    return result == -EINTR || result == -EAGAIN;
}

static void file_submit(struct layer *layer, struct request *req)
{
    req->backend = layer;
    req->progress_bytes = 0;
    switch (req->view.op) {
    case REQUEST_READ:
    case REQUEST_WRITE:
        transfer_start(req);
        return;
    case REQUEST_FLUSH:
        group_sync_join(req);
        return;
    case REQUEST_TRIM:
        release_start(req, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
        return;
    case REQUEST_ZERO:
        release_start(req, req->flags & REQUEST_MAY_TRIM
                               ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
                               : FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE);
        return;
    case REQUEST_CACHE:
        req->io.fn = readahead_done;
        loop_readahead(layer->loop, &req->io, &layer_of(req)->file, req->view.offset_bytes,
                       (uint32_t)req->view.length_bytes);
        return;
    case REQUEST_EXTENTS:
        file_extents_start(req);
        return;
    case REQUEST_OP_COUNT:
        break;
    }
    assert(false && "an operation that limits.ops does not list");
}

/* Where the kernel finds no place for what was written, it may drop it and tell who sends it on its
 * way, and no flush after that (ext4).  A positive errno then; 0 for what leaves it in the page
 * cache. */
static int send_on_its_way(int fd, off_t offset_bytes, ssize_t length_bytes)
{
    if (sync_file_range(fd, offset_bytes, length_bytes, SYNC_FILE_RANGE_WRITE) == 0)
        return 0;
    switch (errno) {
    case ENOSYS:
    case EOPNOTSUPP:
    case EPERM:
    case EINVAL:
    case ESPIPE:
    case ENOMEM:
    case EINTR:
    case EAGAIN:
        return 0;
    default:
        return errno;
    }
}

/* What is not in the page cache is left to the ring, and so is what fails, or was done in part.
 * (A buffered write waits for others of that file in the ring as well, on a thread more.  What was
 * written is sent on its way: else all of it waits for the flush.) */
static bool transfer_at_once(struct request *req)
{
    const struct view *view = &req->view;
    struct iovec all = { .iov_base = view->data, .iov_len = view->length_bytes };
    off_t offset_bytes = (off_t)view->offset_bytes;
    int fd = layer_of(req)->file.fd;
    ssize_t count;
    int lost = 0;

    if (req->progress_bytes > 0)
        return false;
    if (view->op == REQUEST_READ) {
        count = preadv2(fd, &all, 1, offset_bytes, RWF_NOWAIT);
    } else {
        count = pwrite(fd, view->data, view->length_bytes, offset_bytes);
        if (count > 0)
            lost = send_on_its_way(fd, offset_bytes, count);
    }
    if (count > 0)
        transfer_done(&req->io, lost != 0 ? -lost : (int)count);
    return count > 0;
}

/* READ and WRITE: until all of it is through, for the kernel may do a part. */
static void transfer_start(struct request *req)
{
    struct file_layer *file = layer_of(req);
    const struct view *view = &req->view;
    uint8_t *data = view->data + req->progress_bytes;
    uint32_t length_bytes = (uint32_t)view->length_bytes - req->progress_bytes;
    uint64_t offset_bytes = view->offset_bytes + req->progress_bytes;

    req->io.fn = transfer_done;
    if (file->at_once && transfer_at_once(req))
        return;
    if (view->op == REQUEST_READ)
        loop_read(file->layer.loop, &req->io, &file->file, req->buffer, data, length_bytes,
                  offset_bytes);
    else
        loop_write(file->layer.loop, &req->io, &file->file, req->buffer, data, length_bytes,
                   offset_bytes);
}

static void transfer_done(struct io_event *ev, int result)
{
    struct request *req = container_of(ev, struct request, io);

    if (interrupted(result)) {
        transfer_start(req);
        return;
    }
    if (result <= 0) {                           /* 0: the file became shorter underneath us */
        file_hole_written(&stage_of(req)->hole); /* a part may have been */
        req->error_at_bytes = req->progress_bytes;
        request_complete(req, result < 0 ? -result : EIO);
        return;
    }
    req->progress_bytes += (uint32_t)result;
    if (req->progress_bytes < req->view.length_bytes)
        transfer_start(req);
    else if (req->view.op == REQUEST_WRITE)
        write_finish(req);
    else
        request_complete(req, 0);
}

static void write_finish(struct request *req)
{
    file_hole_written(&stage_of(req)->hole);
    change_finish(req);
}

/* WRITE, TRIM and ZERO are done; durable if they have to be.  (Not by RWF_DSYNC: where that fails,
 * the write may have, which concerns nobody else, or the sync of what others wrote.) */
static void change_finish(struct request *req)
{
    if (req->flags & REQUEST_FUA)
        group_sync_join(req);
    else
        request_complete(req, 0);
}

static void sync_start(struct request *leader, uint64_t start_bytes, uint64_t end_bytes)
{
    struct file_layer *file = layer_of(leader);
    bool all = end_bytes - start_bytes > UINT32_MAX;

    leader->io.fn = sync_done;
    loop_fdatasync(file->layer.loop, &leader->io, &file->sync_file, all ? 0 : start_bytes,
                   all ? 0 : (uint32_t)(end_bytes - start_bytes));
}

/* There is no second try, whatever the error: what the first was told, the second would not be. */
static void sync_done(struct io_event *ev, int result)
{
    group_sync_ended(container_of(ev, struct request, io), -result);
}

/* The part of a request that fallocate() can do; empty where start is not below end. */
struct whole_blocks {
    uint64_t start_bytes, end_bytes;
};

static struct whole_blocks whole_blocks_of(const struct request *req)
{
    const struct file_stage *file = container_of(req->backend->stage, struct file_stage, stage);
    uint64_t block = file->release_bytes;
    uint64_t start_bytes = req->view.offset_bytes;
    uint64_t end_bytes = start_bytes + req->view.length_bytes;

    return (struct whole_blocks){ .start_bytes = (start_bytes + block - 1) / block * block,
                                  .end_bytes = end_bytes / block * block };
}

/* TRIM: punch a hole, or nothing where there are none.  ZERO: punch a hole when it may become
 * one, else zero the range in place, else write zeros - unless only a fast way is wanted.  On a
 * block device that is done to whole logical blocks: TRIM leaves the edges alone, ZERO writes
 * them.  And only who has claimed the device may do it: for others it is busy. */
static void release_start(struct request *req, int mode)
{
    struct file_layer *file = layer_of(req);
    struct whole_blocks whole = whole_blocks_of(req);

    req->io.fn = release_done;
    req->backend_step = (uint8_t)mode;
    if (whole.start_bytes < whole.end_bytes)
        loop_fallocate(file->layer.loop, &req->io, &file->claim_file, mode, whole.start_bytes,
                       whole.end_bytes - whole.start_bytes);
    else
        release_done(&req->io, -EOPNOTSUPP);
}

static void release_done(struct io_event *ev, int result)
{
    struct request *req = container_of(ev, struct request, io);
    bool zero = req->view.op == REQUEST_ZERO;
    bool unsupported = result == -EOPNOTSUPP || result == -ENOSYS || result == -ENODEV ||
                       result == -EBUSY; /* of a device: --force-in-use */

    if (interrupted(result))
        release_start(req, req->backend_step);
    else if (!zero && (result == 0 || unsupported))
        change_finish(req);
    else if (result == 0)
        zero_edges(req);
    else if (!unsupported)
        request_complete(req, -result);
    else if (req->flags & REQUEST_FAST_ZERO)
        request_complete(req, ENOTSUP);
    else if (req->backend_step & FALLOC_FL_PUNCH_HOLE)
        release_start(req, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE);
    else
        zeros_write(req);
}

#define STEP_EDGES 0xff /* no mode of fallocate() */

static void zero_edges(struct request *req)
{
    req->backend_step = STEP_EDGES;
    zeros_write(req);
}

/* How many zeros to write next, at progress_bytes, which passes over what is done already. */
static uint32_t zeros_left(struct request *req)
{
    const struct view *view = &req->view;
    struct whole_blocks whole = whole_blocks_of(req);
    uint64_t end_bytes = view->offset_bytes + view->length_bytes;

    if (req->backend_step == STEP_EDGES) {
        if (view->offset_bytes + req->progress_bytes == whole.start_bytes)
            req->progress_bytes = (uint32_t)(whole.end_bytes - view->offset_bytes);
        else if (view->offset_bytes + req->progress_bytes < whole.start_bytes)
            end_bytes = whole.start_bytes;
    }
    return (uint32_t)(end_bytes - view->offset_bytes - req->progress_bytes);
}

static void zeros_write(struct request *req)
{
    static const uint8_t zeros[BUFFER_BYTES_MAX] __attribute__((aligned(4096)));
    struct file_layer *file = layer_of(req);
    uint32_t length_bytes = zeros_left(req);

    if (length_bytes == 0) {
        change_finish(req);
        return;
    }
    if (length_bytes > sizeof zeros)
        length_bytes = sizeof zeros;
    req->io.fn = zeros_written;
    loop_write(file->layer.loop, &req->io, &file->file, NULL, zeros, length_bytes,
               req->view.offset_bytes + req->progress_bytes);
}

static void zeros_written(struct io_event *ev, int result)
{
    struct request *req = container_of(ev, struct request, io);

    if (result <= 0 && !interrupted(result)) {
        request_complete(req, result < 0 ? -result : EIO);
        return;
    }
    if (result > 0)
        req->progress_bytes += (uint32_t)result;
    zeros_write(req);
}

/* CACHE has no visible result: where the file can't be read ahead, nothing is lost. */
static void readahead_done(struct io_event *ev, int result)
{
    (void)result;
    request_complete(container_of(ev, struct request, io), 0);
}

const struct layer_ops file_ops = {
    .name = "file",
    .description = "file:PATH or PATH, a regular file or block device",
    .open = file_open,
    .lock = lock_stage,
    .header_was_read = file_header_was_read,
    .grow = file_grow,
    .attach = file_attach,
    .submit = file_submit,
    .detach = file_detach,
    .close = file_close,
};
