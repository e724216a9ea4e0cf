/* Bytes that lie in pieces, taken in portions that lie together: what makes records of replies. */
#ifndef NBDCRYPT_IOV_GATHER_H
#define NBDCRYPT_IOV_GATHER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define GATHER_BYTES 16384u /* of a portion: the plaintext of a TLS record */

struct iov_gather {
    const struct iovec *iov; /* what is left; `skip_bytes` of the first have been taken */
    unsigned count;
    size_t skip_bytes;
    uint8_t *together; /* GATHER_BYTES */
};

/* The next portion, of GATHER_BYTES if there are so many: where it lies, or copied together where
 * pieces meet, into `together`, which the next call uses again.  Something must be left. */
const uint8_t *iov_gather_peek(const struct iov_gather *gather, size_t *length_bytes);
/* So many bytes are done with. */
void iov_gather_advance(struct iov_gather *gather, size_t length_bytes);

#endif
