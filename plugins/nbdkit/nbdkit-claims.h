/* What a plugin of nbdkit says that it can do, asked once when it is open, and checked: a claim
 * that makes no sense is an error, one that lacks the function it takes is taken back with a
 * warning, as far as the export can be served without it.  The rules are those of
 * nbdkit-plugin(3). */
#ifndef NBDCRYPT_NBDKIT_CLAIMS_H
#define NBDCRYPT_NBDKIT_CLAIMS_H

#include <stdbool.h>

#include "plugins/nbdkit/nbdkit-host.h"
#include "server/base/error.h"

struct nbdkit_claims {
    uint64_t size_bytes;            /* whole blocks */
    uint32_t block_min_bytes;       /* a power of two, at most 65,536 */
    uint32_t block_preferred_bytes; /* a power of two, 512 to 32 MiB, at least block_min_bytes */
    uint32_t block_max_bytes;       /* a multiple of block_min_bytes */
    int fua;   /* NBDKIT_NONE; NBDKIT_EMULATE: there is flush(); NBDKIT_NATIVE */
    int cache; /* NBDKIT_EMULATE: by reading; NBDKIT_NATIVE: by cache(), if there is one */
    bool write, flush, trim, extents, rotational;
    bool zero; /* zero() is called, and may say that it can't */
    bool fast_zero;
};

/* Asks the plugin that `caller` is in about this handle; -errno with a sentence. */
NODISCARD int nbdkit_claims_ask(struct nbdkit_claims *out, struct nbdkit_caller *caller,
                                void *handle, bool read_only, struct error *err);

#endif
