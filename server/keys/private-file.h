/* A small file that holds secrets, read into locked memory. */
#ifndef NBDCRYPT_PRIVATE_FILE_H
#define NBDCRYPT_PRIVATE_FILE_H

#include <stddef.h>

#include "crypto/secret.h"

/* Says so in the log where everybody may read or write this file (its mode allows it, and that of
 * each folder that it is in lets him through). */
void private_file_warn(int fd, const char *path);

/* The whole of it, of at most `max_bytes`.  The message names the path.  If `warn`, one that
 * everybody may read or write is used, with a warning in the log.  The caller frees *out. */
NODISCARD int private_file_read(struct secret **out, const char *path, size_t max_bytes, bool warn,
                                struct error *err);

#endif
