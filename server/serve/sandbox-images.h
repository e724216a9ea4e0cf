/* What images need of a sandbox: their files, and the ports of their servers. */
#ifndef NBDCRYPT_SANDBOX_IMAGES_H
#define NBDCRYPT_SANDBOX_IMAGES_H

#include "server/serve/sandbox-lists.h"

/* The folder of a file, too, where it may be replaced or come later? */
enum sandbox_folders {
    SANDBOX_FOLDERS_NONE,
    SANDBOX_FOLDERS_OF_USERS, /* but for those of the system, where much else is */
    SANDBOX_FOLDERS_ALL,
};
NODISCARD int sandbox_images_add(struct sandbox_lists *lists, const char *image,
                                 enum sandbox_folders folders, struct error *err);
/* Is all known that it needs to write, now and later? */
bool sandbox_images_is_known(const char *image);
/* Is it code of others, which may need anything? */
bool sandbox_images_is_plugin(const char *image);
/* Do its ports depend on who answers: a plugin's, or those of a cluster? */
bool sandbox_images_connects_anywhere(const char *image);

#endif
