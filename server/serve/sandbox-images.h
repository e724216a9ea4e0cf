/* What images need of a sandbox: their files, and the ports of their servers. */
#ifndef NBDCRYPT_SANDBOX_IMAGES_H
#define NBDCRYPT_SANDBOX_IMAGES_H

#include "server/serve/sandbox-lists.h"

/* `folders`: the folder of a file, too, where it may be replaced or come later. */
NODISCARD int sandbox_images_add(struct sandbox_lists *lists, const char *image, bool folders,
                                 struct error *err);
/* Is it code of others, which may need anything? */
bool sandbox_images_is_plugin(const char *image);
/* Do its ports depend on who answers: a plugin's, or those of a cluster? */
bool sandbox_images_connects_anywhere(const char *image);

#endif
