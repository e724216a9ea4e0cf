/* Memory for data that nobody looks at.  It is small and used again and again, so that it stays in
 * the cache of a core: moving data through it costs the load generator as little as can be. */
#ifndef NBDCRYPT_SCRATCH_H
#define NBDCRYPT_SCRATCH_H

#include <stdint.h>
#include <sys/uio.h>

#include "server/base/error.h"
#include "server/transport/tls-buffer.h"

#define SCRATCH_SINK_BYTES (64u << 10)
#define SCRATCH_SOURCE_BYTES (64u << 10)

/* Of one thread. */
struct scratch {
    uint8_t *sink;   /* where received payloads end */
    uint8_t *source; /* what writes send: noise, which no storage can compress or leave out */
    struct tls_buffers tls_buffers; /* where there is TLS */
};

NODISCARD int scratch_create(struct scratch *scratch, struct error *err);
void scratch_destroy(struct scratch *scratch);

/* Entries that name `piece` (of `piece_bytes`) as often as `length_bytes` takes, at most `room` of
 * them; the number of entries. *length_bytes becomes what they hold. */
unsigned scratch_spread(struct iovec *iov, unsigned room, uint8_t *piece, uint32_t piece_bytes,
                        uint32_t *length_bytes);

#endif
