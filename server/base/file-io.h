/* Reading and writing a descriptor to the end, whatever interrupts. */
#ifndef NBDCRYPT_FILE_IO_H
#define NBDCRYPT_FILE_IO_H

#include <stddef.h>

#include "server/base/error.h"

/* Until the end of the file, or until there is no more room; 0 or -errno.  *length_bytes is what
 * was read, in either case. */
NODISCARD int file_io_read(int fd, void *out, size_t room_bytes, size_t *length_bytes);
/* All of it; 0 or -errno. */
NODISCARD int file_io_write(int fd, const void *data, size_t length_bytes);
/* The name of the file is there after a loss of power: its folder is synced.  0 or -errno; 0 where
 * the file system has no such thing. */
NODISCARD int file_io_sync_name(const char *path);

#endif
