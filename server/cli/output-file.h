/* A new file for the user, which is there as a whole or not at all. */
#ifndef NBDCRYPT_OUTPUT_FILE_H
#define NBDCRYPT_OUTPUT_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "server/base/error.h"

/* Makes the file `path`, mode 0600, on the disk when this returns.  `replace`: a file that is there
 * is replaced, at once; otherwise it is an error, -EEXIST.  The message names the file. */
NODISCARD int output_file_write(const char *path, const void *data, size_t length_bytes,
                                bool replace, struct error *err);

#endif
