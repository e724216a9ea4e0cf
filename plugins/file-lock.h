/* Keeps others away from a file or block device while it is used. */
#ifndef NBDCRYPT_FILE_LOCK_H
#define NBDCRYPT_FILE_LOCK_H

#include "server/layer.h"

/* Locks what `fd` is open of, as `settings` ask for (`lock`, `header_only`, `read_only`), until it is
 * closed.  Waits for what a killed process still holds.  -EBUSY: another program has it; -ENOLCK: it can't be
 * locked.  Where `terms` allow it, either is a warning. */
NODISCARD int file_lock_take(int fd, bool block_device, const struct stage_settings *settings,
                             struct error *err);

/* The header may be changed by others from now on. */
void file_lock_release_header(int fd);

#endif
