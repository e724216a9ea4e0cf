/* What a conversation has agreed on: one struct, so that it can be dropped as a whole. */
#ifndef NBDCRYPT_NEGOTIATED_H
#define NBDCRYPT_NEGOTIATED_H

#include <stdbool.h>
#include <stdint.h>

/* The server's number of base:allocation, in SET_META_CONTEXT and in the chunks of BLOCK_STATUS;
 * and of others: this, and what they have as numbers in server/block/meta-contexts.h. */
#define NBD_CONTEXT_BASE_ALLOCATION_ID 1u

/* All that an unencrypted conversation may have agreed on; STARTTLS resets it as a whole. */
struct negotiated {
    bool structured_replies;    /* in chunks: structured or extended */
    bool extended_headers;      /* of requests and of chunks */
    uint32_t contexts;          /* that are selected, a bit for each (meta-contexts.h), for ... */
    char *context_export;       /* ... this export (NUL-terminated, owned); NULL: none; ... */
    uint64_t context_export_id; /* ... which was this one then */
};

/* Forgets all of it and frees what it owns. */
void negotiated_reset(struct negotiated *negotiated);
/* Frees what it owns; the rest stays: what the transmission needs. */
void negotiated_clear(struct negotiated *negotiated);
/* Forgets the contexts: none is selected. */
void negotiated_forget_contexts(struct negotiated *negotiated);

#endif
