/* What an export that is opened and its header say of holes has to agree
 * (crypto/luks/luks-zero-holes.h). */
#ifndef NBDCRYPT_ZERO_HOLES_H
#define NBDCRYPT_ZERO_HOLES_H

#include "crypto/luks/luks.h"
#include "server/export/export-settings.h"

/* Holes are zeros, and this export would read noise there: -EPERM, with what to do. */
NODISCARD int zero_holes_check(const struct luks_header *header,
                               const struct export_settings *settings, struct error *err);

/* Before the first hole is made: lets the header say so, durably.  `image` is the backend, open and
 * locked; `header` was loaded from it, or from a file of its own.  Nothing happens for an export
 * that does not ask for it, can't be written, or whose header says so already.  The message says
 * what to do.  Blocks. */
NODISCARD int zero_holes_record(const struct luks_header *header,
                                const struct export_settings *settings, struct stage *image,
                                struct error *err);

#endif
