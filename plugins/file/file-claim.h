/* Block devices that are in use: mounted, part of another device, claimed by a program.
 *
 * The kernel lets one owner claim a device, whatever node it was opened by: file systems,
 * device-mapper, LVM, MD, swap, and whoever opens it with O_EXCL.  Partitions are claimed one by
 * one; the disk and a partition of it exclude each other. */
#ifndef NBDCRYPT_FILE_CLAIM_H
#define NBDCRYPT_FILE_CLAIM_H

#include <stdbool.h>
#include <sys/stat.h>

#include "server/base/error.h"

/* Claims the device until *claim_fd is closed, which may be written to if `write`.  `path` leads to
 * it, and `device` is what is open already. -EBUSY: somebody else has it; the message says who, as
 * far as that is known.  Then *lasting says that it is no process, which might be about to end. */
NODISCARD int file_claim(int *claim_fd, bool *lasting, const char *path, bool write,
                         const struct stat *device, struct error *err);

#endif
