/* Where configuration files are, and which of them are trusted: FILE, and then what is in the
 * folders, each in the order of bytes. */
#ifndef NBDCRYPT_CONFIG_FOLDER_H
#define NBDCRYPT_CONFIG_FOLDER_H

#include <stdbool.h>

#include "server/config/config-file.h"

#define CONFIG_FILE_DEFAULT "/etc/nbdcrypt/nbdcrypt.conf"

/* Reads `file` and each NAME.conf of the folders, which must be there.  Where a folder has a link
 * to /dev/null of that name, no folder's file of that name is read.  Without any folder (count 0)
 * they are conf.d beside the file and, with CONFIG_FILE_DEFAULT, those of the same name in
 * /run/nbdcrypt and /var/lib/nbdcrypt, as far as they are there.
 *
 * A file or folder that somebody else could write, who is neither root nor we, is a problem, unless
 * `any_owner` says that another user than who reads now will use them: then only those that all or
 * a group may write are.  What can't be read is a problem, too.  -ENOMEM. */
NODISCARD int config_folder_read(struct config_file *out, const char *file,
                                 const char *const *folders, size_t count, bool any_owner,
                                 struct error *err);

#endif
