/* The extents of a pipeline, one after the other, on the calling thread. */
#ifndef NBDCRYPT_COPY_EXTENTS_H
#define NBDCRYPT_COPY_EXTENTS_H

#include "server/block/layer.h"

struct copy_extents;

/* From `start_bytes` on.  Blocks, as does copy_extents_next(). */
NODISCARD int copy_extents_create(struct copy_extents **out, struct stage *top,
                                  uint64_t start_bytes, struct error *err);
/* Of that metadata context of `top` (meta-contexts.h), before the first of them. */
void copy_extents_use_context(struct copy_extents *extents, unsigned context);
void copy_extents_destroy(struct copy_extents *extents); /* NULL is fine */

/* Whether the storage can tell; where not, all is data, or in another context there are no more
 * extents. */
bool copy_extents_are_known(const struct copy_extents *extents);

/* The next one; of length 0 at the end.  A neighbour may have the same flags. */
struct extent copy_extents_next(struct copy_extents *extents);

#endif
