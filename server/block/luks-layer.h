/* The LUKS layer: plaintext above, ciphertext below, one buffer. */
#ifndef NBDCRYPT_LUKS_LAYER_H
#define NBDCRYPT_LUKS_LAYER_H

#include "crypto/luks/luks.h"
#include "server/block/layer.h"
#include "server/board/board.h"

struct luks_holes {
    bool discard;    /* TRIM is listed: it shows the storage which blocks are used */
    bool zero_holes; /* a sector of zeros on the storage is one of zeros for the client: holes read
                      * as zeros, and ZERO and TRIM are passed on.  The storage can then make zeros
                      * of any sector.  Data never looks like that: one ciphertext in 2^4096 does */
};

/* A stage over `below`, which it owns from then on.  `volume_key` becomes its own too and is freed
 * with it. */
NODISCARD int luks_stage_create(struct stage **out, struct stage *below,
                                const struct luks_segment *segment, struct secret *volume_key,
                                struct luks_holes holes, struct error *err);

/* What is encrypted, and how; NULL: nothing is.  By the top of a pipeline. */
const struct luks_segment *luks_stage_segment(const struct stage *top);

/* Where it is counted from now on what the ciphers of a pipeline do: two, for what is decrypted and
 * what is encrypted; NULL: nowhere.  By its top, on the layer's thread.  Nothing happens where
 * nothing is encrypted. */
void luks_layer_count(struct layer *top, struct board_crypto *counts);

/* ---- a key that goes for a time ----
 *
 * Of pipelines by their tops.  A request that comes to a layer without a cipher, or comes back to
 * one, fails with ESHUTDOWN. */

/* NULL: it does not encrypt. */
const struct secret *luks_stage_volume_key(const struct stage *top);
/* What is below it. */
struct stage *luks_stage_image(struct stage *top);
/* From now on layers are attached without a cipher.  -EIO: nothing has changed. */
NODISCARD int luks_stage_suspend(struct stage *top, struct error *err);
/* After that: whether it is the key that the stage had then. */
bool luks_stage_knows(const struct stage *top, const struct secret *volume_key);
/* The layer's thread: its cipher goes. */
void luks_layer_forget(struct layer *top);
/* After luks_layer_forget() on all layers, and luks_stage_suspend(): the key goes. */
void luks_stage_forget(struct stage *top);
/* The same key again, which is taken over; NULL: it is there still. */
void luks_stage_restore(struct stage *top, struct secret *volume_key);
/* The layer's thread, after that: there is a cipher again, if there was none.  -ENOMEM and the
 * like. */
NODISCARD int luks_layer_restore(struct layer *top, struct error *err);

/* Whether two pipelines, by their tops, encrypt with the same volume key.  False when one does not
 * encrypt. */
bool luks_stages_share_key(const struct stage *a, const struct stage *b);

#endif
