/* Loop devices: the kernel makes a block device of a file, and locks neither. */
#ifndef NBDCRYPT_FILE_LOOP_H
#define NBDCRYPT_FILE_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "server/base/error.h"

/* What a loop device, or a partition of one, is in its file. */
struct file_loop_part {
    int fd; /* of the file, which the caller closes; -1: it is no loop device, or the file has no
               name */
    uint64_t start_bytes;
    uint64_t length_bytes;
};

/* Opens the file behind the device that `device_fd` is open of.  -errno: it is there and can't be
 * opened; the message names it. */
NODISCARD int file_loop_open_file(struct file_loop_part *out, int device_fd,
                                  const struct stat *device, bool read_only, struct error *err);

/* Is this file or device behind a loop device?  Of those whose file has a name in our view of the
 * file systems; `writable`: of those that can write it.  1: `name` is the device's, as in "loop0".
 * 0: it is not; where there is no /sys nobody knows.  -errno: that could not be found out. */
#define FILE_LOOP_NAME_BYTES 32u
NODISCARD int file_loop_find(char name[FILE_LOOP_NAME_BYTES], const struct stat *status,
                             bool writable);

#endif
