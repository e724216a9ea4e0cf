/* The LUKS layer: plaintext above, ciphertext below, one buffer. */
#ifndef NBDCRYPT_LUKS_LAYER_H
#define NBDCRYPT_LUKS_LAYER_H

#include "crypto/luks.h"
#include "server/layer.h"

/* A stage over `below`, which it owns from then on.  `volume_key` becomes its own too and is freed
 * with it.  TRIM is listed only with `discard`: it shows the storage which blocks are
 * used. */
NODISCARD int luks_stage_create(struct stage **out, struct stage *below,
                                const struct luks_segment *segment, struct secret *volume_key,
                                bool discard, struct error *err);

#endif
