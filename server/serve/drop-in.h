/* Exports that were added while the server runs, written down as drop-in files of its
 * configuration: so they are there again after its next start. */
#ifndef NBDCRYPT_DROP_IN_H
#define NBDCRYPT_DROP_IN_H

#include <json-c/json.h>

#include "server/serve/serve-params.h"

/* Where that of an export is: in the last folder whose files are read; the caller frees it.
 * -ENOENT: the server has no configuration.  -ENOMEM. */
NODISCARD int drop_in_path(char **out, const struct serve_options *options, const char *name,
                           struct error *err);

/* What stands in it; `options` and `allow` as of AddExport, both may be NULL; the caller frees it.
 * -EINVAL: a value that a file can't have. */
NODISCARD int drop_in_text(char **out, const char *name, const char *image,
                           struct json_object *options, struct json_object *allow,
                           struct error *err);

/* Makes the file, and makes it durable; its folder is made if that of it is there.  -EEXIST: there
 * is one.  A file that is written by halves is never seen.  Blocks. */
NODISCARD int drop_in_write(const char *path, const char *text, struct error *err);

/* Whether there is one which drop_in_write() has made. */
bool drop_in_is_there(const char *path);

/* Whether it has just this text.  Blocks. */
bool drop_in_says(const char *path, const char *text);

/* Takes it away, for good.  Blocks. */
NODISCARD int drop_in_remove(const char *path, struct error *err);

#endif
