/* Where a passphrase comes from: a file, standard input, or a person at the terminal. */
#ifndef NBDCRYPT_KEY_SOURCE_H
#define NBDCRYPT_KEY_SOURCE_H

#include <stdbool.h>

#include "crypto/secret.h"

/* What cryptsetup reads at most from a key file. */
#define KEY_SOURCE_BYTES_MAX (8u * 1024u * 1024u)

/* Reads the passphrase for `image`, which is only named in messages and in the prompt.
 *
 * key_file: a path, "-" for standard input, or NULL: then the terminal is asked, without echo.
 * A file and standard input are taken whole: a newline at the end counts, as it does for
 * cryptsetup --key-file.  A line typed at the terminal counts without its newline.
 * `confirm` asks twice (for a new passphrase).  The caller frees *out.
 *
 * Fails when the file can't be read, is empty or exceeds KEY_SOURCE_BYTES_MAX; when key_file is
 * NULL and standard input is not a terminal; when the two lines differ.  Blocks. */
NODISCARD int key_source_read(struct secret **out, const char *key_file, const char *image,
                              bool confirm, struct error *err);

#endif
