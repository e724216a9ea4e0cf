/* The align layer: any offset and length above, whole blocks below.
 *
 * READ, CACHE and EXTENTS are widened to blocks.  TRIM keeps the blocks that lie wholly in its
 * range.  WRITE and ZERO that begin or end within a block read that block, put the new bytes
 * in and write it back, alone on their blocks; aligned ones share the range lock, for one
 * that lands between another's read and write would be lost.  The lock spans all connections
 * and workers of the export; unaligned writes to different blocks run in parallel.
 *
 * Reads take no lock: NBD leaves open what a read sees of a write that was not replied to, and
 * a block written back holds the same bytes outside the write's range. */
#ifndef NBDCRYPT_ALIGN_LAYER_H
#define NBDCRYPT_ALIGN_LAYER_H

#include "server/layer.h"

/* A stage over `below`, which it owns from then on; `ranges` is the export's and stays its own. */
NODISCARD int align_stage_create(struct stage **out, struct stage *below,
                                 struct range_lock *ranges, struct error *err);

#endif
