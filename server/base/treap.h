/* A balanced search tree of nodes that belong to the caller: nothing is allocated, and every
 * operation takes O(log n) steps whatever the keys, for the shape is random: a treap (Seidel and
 * Aragon, "Randomized Search Trees", 1996), by splitting and merging.  Keys may be equal.
 *
 * A node may sum up its subtree (`update`), and may owe a change to its children (`push`), so
 * that one step changes all nodes of a range of keys: see range-hot.c. */
#ifndef NBDCRYPT_TREAP_H
#define NBDCRYPT_TREAP_H

#include <stdint.h>

struct treap_node {
    struct treap_node *left, *right;
    uint64_t key;
    uint32_t priority;
};

struct treap {
    struct treap_node *root;
    void (*update)(struct treap_node *node); /* sums up anew from the children; may be NULL */
    void (*push)(struct treap_node *node);   /* tells the children what they are owed; or NULL */
    uint64_t random;
};

/* `seed`: what clients can't guess, and not 0. */
void treap_init(struct treap *treap, uint64_t seed);
/* The node is in no tree; what `update` sums up of it is there. */
void treap_insert(struct treap *treap, struct treap_node *node, uint64_t key);
/* The node is in this tree. */
void treap_remove(struct treap *treap, struct treap_node *node);
/* That of the smallest key, or NULL. */
struct treap_node *treap_first(const struct treap *treap);

/* The keys below `from`, those below `to`, and the rest: the tree is empty until treap_join(). */
struct treap_parts {
    struct treap_node *before, *within, *behind;
};
struct treap_parts treap_split(struct treap *treap, uint64_t from, uint64_t to);
void treap_join(struct treap *treap, const struct treap_parts *parts);

#endif
