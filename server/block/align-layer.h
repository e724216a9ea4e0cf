/* The align layer: any offset and length above, whole blocks below.
 *
 * READ, CACHE and EXTENTS are widened to blocks.  TRIM keeps the blocks that lie wholly in its
 * range.  WRITE and ZERO that begin or end within a block read that block, put the new bytes in
 * and write it back, alone on the block; the blocks between share the range lock, as those of
 * aligned ones do, for what lands between another's read and write would be lost.  The lock spans
 * all connections and workers of the export; unaligned writes to different blocks run in
 * parallel.
 *
 * A read is kept apart from such a read-modify-write, and from nothing else.  Those bytes of a
 * block that the write does not change are nobody's to change, but storage may hand out halves of
 * the old and the new block, and where a cipher makes one unit of them (16 bytes in CBC and XTS,
 * a whole sector in others) the halves decrypt to bytes that nobody wrote.  So a read looks
 * before and after whether such a write was at work near it, which costs some loads, and is done
 * again under a claim if so.
 *
 * A read is not kept apart from a write of the whole block: all its bytes are being written, and
 * NBD leaves open what a read sees of a write that was not replied to.  It may find the old
 * block, the new one, or halves of them, and what a cipher makes of halves, as it may over
 * dm-crypt and QEMU's luks driver, which don't order the two either; nbdcrypt-security(7) says
 * so.  Once a write is replied to, reads find it. */
#ifndef NBDCRYPT_ALIGN_LAYER_H
#define NBDCRYPT_ALIGN_LAYER_H

#include "server/block/layer.h"

/* A stage over `below`, which it owns from then on; `ranges` is the export's and stays its own. */
NODISCARD int align_stage_create(struct stage **out, struct stage *below, struct range_lock *ranges,
                                 struct error *err);

#endif
