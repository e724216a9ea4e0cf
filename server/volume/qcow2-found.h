/* A qcow2 image where a LUKS volume was expected, found by what it begins with.
 *
 * Nobody is asked to trust what a guest has written: under --raw, and where the user names a format
 * or a part of the image, nothing is looked for.  Elsewhere guests write through LUKS, and what
 * they make the storage hold is ciphertext that they can't choose; so no guest writes the start of
 * an image. */
#ifndef NBDCRYPT_QCOW2_FOUND_H
#define NBDCRYPT_QCOW2_FOUND_H

#include "crypto/luks/format-signature.h"
#include "crypto/luks/luks-demands.h"
#include "server/block/layer.h"

/* Is it meant to be one?  `content` is what `spec` holds instead of a LUKS header.  A volume that
 * `demands` pin (NULL: none) is none: by the tables of an image, clusters can be moved or be zeros,
 * which its header can't tell. */
bool qcow2_found(const struct format_signature *content, const char *spec,
                 const struct luks_demands *demands);

/* Opens it as that.  As image_open(). */
NODISCARD int qcow2_found_open(struct stage **out, const char *spec,
                               const struct image_options *options, struct error *err);

/* -EMEDIUMTYPE: the disk in it is not encrypted; says what to do.  The message names the image. */
int qcow2_found_refuse_plain(const char *spec, struct error *err);

#endif
