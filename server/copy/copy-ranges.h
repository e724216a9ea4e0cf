/* What there is to do, from the extents of both ends. */
#ifndef NBDCRYPT_COPY_RANGES_H
#define NBDCRYPT_COPY_RANGES_H

#include "server/copy/copy-queue.h"
#include "server/copy/copy-worker.h"

struct copy_ranges;

/* Of [start_bytes, end_bytes).  For a comparison an end has zeros behind its size; for a copy the
 * ranges begin and end at whole blocks of both ends, and `end_bytes` is the size of the source.
 * Blocks. */
NODISCARD int copy_ranges_create(struct copy_ranges **out, const struct copy_terms *terms,
                                 uint64_t start_bytes, uint64_t end_bytes, struct error *err);
void copy_ranges_destroy(struct copy_ranges *ranges); /* NULL is fine */

/* Whether bytes have to be moved for it: it is no hole that stays one. */
bool copy_ranges_moves(const struct copy_ranges *ranges, const struct copy_range *range);

/* The next one, of at most max_bytes if bytes have to be moved for it; false: there is none.
 * Blocks. */
bool copy_ranges_next(struct copy_ranges *ranges, uint64_t max_bytes, struct copy_range *out);

#endif
