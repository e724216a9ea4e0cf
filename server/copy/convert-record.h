/* What the header of a target says while it is filled (crypto/luks/luks-conversion.h), on the
 * storage. */
#ifndef NBDCRYPT_CONVERT_RECORD_H
#define NBDCRYPT_CONVERT_RECORD_H

#include "crypto/luks/luks-conversion.h"
#include "server/copy/copy-end.h"

/* Durable when it returns, if the storage can do that.  `target` is open for converting; NULL for
 * `conversion`: it is finished.  Blocks.  The message names the image. */
NODISCARD int convert_record(struct copy_end *target, const struct luks_conversion *conversion,
                             struct error *err);

#endif
