/* The LUKS header of an image, wherever it is: in the image itself or in a file of its own. */
#ifndef NBDCRYPT_LUKS_IMAGE_H
#define NBDCRYPT_LUKS_IMAGE_H

#include "crypto/luks.h"
#include "server/layer.h"

/* Loads the header of `image`, which holds the data: from it, or from what `header_spec` names (a
 * detached header; NULL: none), which is opened for reading and closed again.  Blocks.
 * -errno as luks_load(); then *content, unless `content` is NULL, says what a file without a LUKS
 * header holds instead (static; NULL: not known).  The message names a detached header, and
 * leaves `image` to the caller. */
NODISCARD int luks_image_load(struct luks_header **out, struct stage *image,
                              const char *header_spec, const char **content, struct error *err);

#endif
