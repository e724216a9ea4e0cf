/* What a backend can tell of its extents besides base:allocation: metadata contexts of a remote
 * server, by name.  A list is made when the backend is opened, and does not change.
 *
 * Contexts have numbers: 0 is base:allocation, and I + 1 is names[I].  They stand in
 * request.context, and are bits of masks.
 * Source: NetworkBlockDevice/nbd doc/proto.md, "Metadata querying". */
#ifndef NBDCRYPT_META_CONTEXTS_H
#define NBDCRYPT_META_CONTEXTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define META_CONTEXTS_MAX 16u               /* base:allocation is one of them */
#define META_CONTEXTS_NAMES_BYTES_MAX 8192u /* of all names together */
#define META_CONTEXT_BIT(number) (1u << (number))

struct meta_contexts {
    unsigned count;
    size_t names_bytes;
    char *names[META_CONTEXTS_MAX - 1]; /* owned */
    size_t name_bytes[META_CONTEXTS_MAX - 1];
};

/* Those of a connection: its numbers of them, where their bits are set in `present`. */
struct meta_context_ids {
    uint32_t present;
    uint32_t id[META_CONTEXTS_MAX];
};

enum meta_contexts_result {
    META_CONTEXTS_ADDED,
    META_CONTEXTS_KNOWN,  /* it is there already */
    META_CONTEXTS_OURS,   /* "base:", and what says which disk it is: never another server's */
    META_CONTEXTS_BAD,    /* it is no name of a context, or would be an order to a terminal */
    META_CONTEXTS_FULL,   /* there is no room for it */
    META_CONTEXTS_MEMORY, /* nor any memory */
};

/* A name that somebody has sent. */
enum meta_contexts_result meta_contexts_add(struct meta_contexts *contexts, const char *name,
                                            size_t length_bytes);
/* Its number; 0: it is not there. */
unsigned meta_contexts_find(const struct meta_contexts *contexts, const char *name,
                            size_t length_bytes);
/* False: there is no memory; meta_contexts_clear() is for the copy, too. */
bool meta_contexts_copy(struct meta_contexts *to, const struct meta_contexts *from);
void meta_contexts_clear(struct meta_contexts *contexts);

/* The bits of all that there are, base:allocation included; `contexts` may be NULL. */
static inline uint32_t meta_contexts_mask(const struct meta_contexts *contexts)
{
    return contexts != NULL ? META_CONTEXT_BIT(contexts->count + 1) - 1 : META_CONTEXT_BIT(0);
}

#endif
