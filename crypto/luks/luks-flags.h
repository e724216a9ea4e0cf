/* Persistent flags of a LUKS2 header in memory, which luks-change.h stores. */
#ifndef NBDCRYPT_LUKS_FLAGS_H
#define NBDCRYPT_LUKS_FLAGS_H

#include <stdbool.h>

#include "crypto/luks/luks.h"

/* "allow-discards": whoever opens the volume passes TRIM on to the storage.  Other flags stay.
 * -ENOTSUP: LUKS1 has none. */
NODISCARD int luks_flags_allow_discards(struct luks_header *header, bool allow, struct error *err);

#endif
