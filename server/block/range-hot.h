/* The blocks with exclusive claims, and who is first there.
 *
 * An exclusive claim to a block waits for those to the same block that came before it, and for
 * the shared ranges over the block that came before it.  The latter are a number that is counted
 * down: while it waits, ranges that came behind it do not get on, so whatever leaves the block
 * came before it. */
#ifndef NBDCRYPT_RANGE_HOT_H
#define NBDCRYPT_RANGE_HOT_H

#include <stdbool.h>

#include "server/base/treap.h"

struct range_edge;

/* A block with exclusive claims.  It lives in the first edge of its queue. */
struct range_hot {
    struct treap_node node; /* key: where the block starts, in bytes */
    struct range_edge *first, *last;
    int64_t missing;       /* ranges that have to leave before `first` may go */
    int64_t missing_least; /* of the subtree */
    int64_t owed;          /* that have left, what the children have not been told yet */
    uint64_t oldest;       /* the smallest `number` of a `first` of the subtree */
};

/* An exclusive claim to one block. */
struct range_edge {
    uint64_t at_bytes;                /* where the block starts */
    bool is_last;                     /* of the two edges of its claim */
    uint64_t number;                  /* of its claim, in the order of arrival */
    uint64_t goal;                    /* its turn: so many ranges have left since it is hot */
    struct range_edge *behind;        /* next in the queue of the block */
    struct range_edge *older, *newer; /* of all edges of the lock */
    struct range_claim *parked;       /* shared ranges that wait until it has left */
    struct range_hot hot;
};

typedef void range_edge_fn(void *context, struct range_edge *edge);

void range_hot_init(struct treap *blocks, uint64_t seed);
/* True: it may go at once.  `covers`: the shared ranges that lie over its block now.  False:
 * `grant` of one of the functions below will be called for it. */
bool range_hot_enter(struct treap *blocks, struct range_edge *edge, uint32_t covers);
/* It had its turn. */
void range_hot_leave(struct treap *blocks, struct range_edge *edge, range_edge_fn *grant,
                     void *context);
/* A shared range that had its turn is gone. */
void range_hot_passed(struct treap *blocks, uint64_t start_bytes, uint64_t end_bytes,
                      range_edge_fn *grant, void *context);
/* In the first block of the range where an exclusive claim is older than `number`: the first of the
 * queue (its `hot.last` is the last), or NULL. */
struct range_edge *range_hot_find(const struct treap *blocks, uint64_t start_bytes,
                                  uint64_t end_bytes, uint64_t number);

#endif
