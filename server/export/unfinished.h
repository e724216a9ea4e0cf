/* A volume that is the unfinished target of a conversion is not served
 * (crypto/luks/luks-conversion.h). */
#ifndef NBDCRYPT_UNFINISHED_H
#define NBDCRYPT_UNFINISHED_H

#include "crypto/luks/luks.h"
#include "server/export/export-settings.h"

/* -EBUSY, with what to do: its data is not whole, and this is not the conversion that goes on. */
NODISCARD int unfinished_check(struct luks_header *header, const struct export_settings *settings,
                               struct error *err);

#endif
