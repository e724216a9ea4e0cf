#include "server/base/treap.h"

#include <stdbool.h>
#include <stddef.h>

void treap_init(struct treap *treap, uint64_t seed)
{
    *treap = (struct treap){ .random = seed };
}

/* xorshift64: the priorities have to be unknown to clients, not more. */
static uint32_t next_priority(struct treap *treap)
{
    treap->random ^= treap->random << 13;
    treap->random ^= treap->random >> 7;
    treap->random ^= treap->random << 17;
    return (uint32_t)(treap->random >> 32);
}

static void update(const struct treap *treap, struct treap_node *node)
{
    if (treap->update != NULL)
        treap->update(node);
}

static void push(const struct treap *treap, struct treap_node *node)
{
    if (treap->push != NULL)
        treap->push(node);
}

/* A place between two nodes: equal keys are in the order of their addresses. */
struct place {
    uint64_t key;
    uintptr_t address;
};

static bool is_before(const struct treap_node *node, const struct place *place)
{
    return node->key != place->key ? node->key < place->key : (uintptr_t)node < place->address;
}

static struct place place_of(const struct treap_node *node)
{
    return (struct place){ node->key, (uintptr_t)node };
}

/* Both ways are followed at once: what is found to be on one side is hung where that side ends. */
static void split(const struct treap *treap, struct treap_node *root, const struct place *place,
                  struct treap_node **before, struct treap_node **behind)
{
    if (root == NULL) {
        *before = *behind = NULL;
        return;
    }
    push(treap, root);
    if (is_before(root, place)) {
        *before = root;
        split(treap, root->right, place, &root->right, behind);
    } else {
        *behind = root;
        split(treap, root->left, place, before, &root->left);
    }
    update(treap, root);
}

/* All of `a` is before all of `b`. */
static struct treap_node *merge(const struct treap *treap, struct treap_node *a,
                                struct treap_node *b)
{
    if (a == NULL || b == NULL)
        return a != NULL ? a : b;
    struct treap_node *root = a->priority > b->priority ? a : b;
    push(treap, root);
    if (root == a)
        root->right = merge(treap, a->right, b);
    else
        root->left = merge(treap, a, b->left);
    update(treap, root);
    return root;
}

static struct treap_node *insert(const struct treap *treap, struct treap_node *root,
                                 struct treap_node *node, const struct place *place)
{
    if (root == NULL || node->priority > root->priority) {
        split(treap, root, place, &node->left, &node->right);
        update(treap, node);
        return node;
    }
    push(treap, root);
    if (is_before(root, place))
        root->right = insert(treap, root->right, node, place);
    else
        root->left = insert(treap, root->left, node, place);
    update(treap, root);
    return root;
}

void treap_insert(struct treap *treap, struct treap_node *node, uint64_t key)
{
    node->key = key;
    node->priority = next_priority(treap);
    struct place place = place_of(node);
    treap->root = insert(treap, treap->root, node, &place);
}

static struct treap_node *without(const struct treap *treap, struct treap_node *root,
                                  const struct treap_node *node, const struct place *place)
{
    push(treap, root);
    if (root == node)
        return merge(treap, root->left, root->right);
    if (is_before(root, place))
        root->right = without(treap, root->right, node, place);
    else
        root->left = without(treap, root->left, node, place);
    update(treap, root);
    return root;
}

void treap_remove(struct treap *treap, struct treap_node *node)
{
    struct place place = place_of(node);

    treap->root = without(treap, treap->root, node, &place);
}

struct treap_node *treap_first(const struct treap *treap)
{
    struct treap_node *node = treap->root;

    while (node != NULL && node->left != NULL)
        node = node->left;
    return node;
}

struct treap_parts treap_split(struct treap *treap, uint64_t from, uint64_t to)
{
    struct place start = { from, 0 }, end = { to, 0 };
    struct treap_node *rest;
    struct treap_parts parts;

    split(treap, treap->root, &start, &parts.before, &rest);
    split(treap, rest, &end, &parts.within, &parts.behind);
    treap->root = NULL;
    return parts;
}

void treap_join(struct treap *treap, const struct treap_parts *parts)
{
    treap->root = merge(treap, parts->before, merge(treap, parts->within, parts->behind));
}
