/* What a conversation has agreed on: one struct, so that it can be dropped as a whole. */
#ifndef NBDCRYPT_NEGOTIATED_H
#define NBDCRYPT_NEGOTIATED_H

#include <stdbool.h>

/* The server's number of base:allocation, in SET_META_CONTEXT and in the chunks of BLOCK_STATUS. */
#define NBD_CONTEXT_BASE_ALLOCATION_ID 1u

/* All that an unencrypted conversation may have agreed on; STARTTLS resets it as a whole. */
struct negotiated {
    bool structured_replies; /* in chunks: structured or extended */
    bool extended_headers;   /* of requests and of chunks */
    bool base_allocation;    /* base:allocation is selected, for ... */
    char *context_export;    /* ... this export (NUL-terminated, owned); NULL: none */
};

/* Forgets all of it and frees what it owns. */
void negotiated_reset(struct negotiated *negotiated);
/* Frees what it owns; the rest stays: what the transmission needs. */
void negotiated_clear(struct negotiated *negotiated);
/* Forgets the contexts: none is selected. */
void negotiated_forget_contexts(struct negotiated *negotiated);

#endif
