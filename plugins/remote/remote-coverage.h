/* Which bytes of a READ the server has sent so far.
 *
 * A structured reply brings them in chunks, in any order.  That they do not overlap and leave no
 * gap is seen to here, for what was in the buffer before is nobody's business. */
#ifndef NBDCRYPT_REMOTE_COVERAGE_H
#define NBDCRYPT_REMOTE_COVERAGE_H

#include <stdbool.h>
#include <stdint.h>

/* Pieces that do not touch; servers send in order, or nearly. */
#define REMOTE_PIECES_MAX 16u

/* Zeroed at first. */
struct remote_coverage {
    uint32_t count;
    struct {
        uint32_t from_bytes, to_bytes; /* in ascending order, with gaps between them */
    } pieces[REMOTE_PIECES_MAX];
};

/* Takes a chunk; NULL, or what is wrong with it, for a message. */
const char *remote_coverage_add(struct remote_coverage *coverage, uint32_t from_bytes,
                                uint32_t length_bytes);
/* Whether all of the first `length_bytes` bytes have come. */
bool remote_coverage_is_whole(const struct remote_coverage *coverage, uint32_t length_bytes);

#endif
