/* Keeps others away from a file or block device while it is used. */
#ifndef NBDCRYPT_FILE_LOCK_H
#define NBDCRYPT_FILE_LOCK_H

#include "server/block/layer.h"

struct file_lock {
    int fd; /* the image's, which belongs to the caller; its locks go when it is closed */
    off_t start_bytes;  /* of what is locked of it */
    off_t length_bytes; /* 0: up to the end, wherever that comes to be */
    int claim_fd;       /* of a block device that is claimed; -1: none */
    int loop_file_fd;   /* of the file behind a loop device; -1: none */
    bool beside_server; /* only the header is ours: a server has the rest */
};

/* Locks settings->part of what `fd` is open of, and settings->path the name of, as `settings` ask
 * for
 * (`lock`, `header_only`, `read_only`).  Waits for what a killed process still holds.  -EBUSY:
 * another program has it; -ENOLCK: it can't be locked.  Where settings->options.terms allow it,
 * either is a warning. file_lock_release() in every case. */
NODISCARD int file_lock_take(struct file_lock *out, int fd, const struct stage_settings *settings,
                             struct error *err);

/* Is this part of the same file locked by it as well? */
bool file_lock_covers(const struct file_lock *lock, const struct byte_range *part);

/* The header may be changed by others from now on. */
void file_lock_release_header(const struct file_lock *lock);

/* What does not go with `fd`. */
void file_lock_release(struct file_lock *lock);

#endif
