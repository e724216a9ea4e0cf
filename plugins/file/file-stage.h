/* A file or block device that is open, as the parts of its backend know it. */
#ifndef NBDCRYPT_FILE_STAGE_H
#define NBDCRYPT_FILE_STAGE_H

#include "plugins/file/file-hole.h"
#include "plugins/file/file-lock.h"
#include "server/block/group-sync.h"

struct file_stage {
    struct stage stage;
    struct group_sync sync;
    int fd;
    struct file_lock lock;
    int sync_fd; /* for fdatasync() alone; may be fd */
    bool block_device;
    bool holes_are_true;     /* what its file system says of holes may be told as zeros */
    bool at_once;            /* image_options.at_once, of a file in the page cache */
    uint32_t release_bytes;  /* TRIM and ZERO by fallocate() are of multiples of it */
    struct offload *offload; /* NULL: no extents */
    struct file_hole hole;
};

#endif
