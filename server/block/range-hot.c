#include "server/block/range-hot.h"

#include <stddef.h>

#include "server/loop/loop.h"

/* Of one that has its turn: nothing is counted down to it. */
#define MISSING_NOTHING (INT64_MAX / 2)

static struct range_hot *hot_of(const struct treap_node *node)
{
    return container_of(node, struct range_hot, node);
}

static void sum_up(struct treap_node *node)
{
    struct range_hot *hot = hot_of(node);
    const struct treap_node *const children[] = { node->left, node->right };

    hot->missing_least = hot->missing;
    hot->oldest = hot->first->number;
    for (unsigned i = 0; i < 2; i++) {
        if (children[i] == NULL)
            continue;
        const struct range_hot *child = hot_of(children[i]);
        if (child->missing_least < hot->missing_least)
            hot->missing_least = child->missing_least;
        if (child->oldest < hot->oldest)
            hot->oldest = child->oldest;
    }
}

static void count_down(struct treap_node *node, int64_t count)
{
    if (node == NULL)
        return;
    hot_of(node)->missing -= count;
    hot_of(node)->missing_least -= count;
    hot_of(node)->owed += count;
}

static void pay(struct treap_node *node)
{
    struct range_hot *hot = hot_of(node);

    if (hot->owed == 0)
        return;
    count_down(node->left, hot->owed);
    count_down(node->right, hot->owed);
    hot->owed = 0;
}

void range_hot_init(struct treap *blocks, uint64_t seed)
{
    treap_init(blocks, seed);
    blocks->update = sum_up;
    blocks->push = pay;
}

/* The block with all that its ancestors owe it. */
static struct range_hot *find_block(const struct treap *blocks, uint64_t at_bytes)
{
    struct treap_node *node = blocks->root;

    while (node != NULL && node->key != at_bytes) {
        pay(node);
        node = at_bytes < node->key ? node->left : node->right;
    }
    return node != NULL ? hot_of(node) : NULL;
}

/* Makes the edge the first of its block; true: it may go. */
static bool put_first(struct treap *blocks, struct range_edge *edge, struct range_edge *last,
                      uint64_t left_count)
{
    struct range_hot *hot = &edge->hot;
    bool may_go = edge->goal == left_count;

    hot->first = edge;
    hot->last = last;
    hot->missing = may_go ? MISSING_NOTHING : (int64_t)(edge->goal - left_count);
    hot->owed = 0;
    treap_insert(blocks, &hot->node, edge->at_bytes);
    return may_go;
}

bool range_hot_enter(struct treap *blocks, struct range_edge *edge, uint32_t covers)
{
    struct range_hot *hot = find_block(blocks, edge->at_bytes);

    edge->behind = NULL;
    edge->goal = covers;
    if (hot == NULL)
        return put_first(blocks, edge, edge, 0);
    uint64_t left_count = hot->first->goal;
    if (hot->missing != MISSING_NOTHING)
        left_count -= (uint64_t)hot->missing;
    edge->goal += left_count;
    hot->last->behind = edge;
    hot->last = edge;
    return false;
}

void range_hot_leave(struct treap *blocks, struct range_edge *edge, range_edge_fn *grant,
                     void *context)
{
    struct range_edge *next = edge->behind;

    treap_remove(blocks, &edge->hot.node);
    if (next != NULL && put_first(blocks, next, edge->hot.last, edge->goal))
        grant(context, next);
}

static void grant_ready(struct treap_node *node, range_edge_fn *grant, void *context)
{
    if (node == NULL || hot_of(node)->missing_least > 0)
        return;
    pay(node);
    grant_ready(node->left, grant, context);
    if (hot_of(node)->missing == 0) {
        hot_of(node)->missing = MISSING_NOTHING;
        grant(context, hot_of(node)->first);
    }
    grant_ready(node->right, grant, context);
    sum_up(node);
}

void range_hot_passed(struct treap *blocks, uint64_t start_bytes, uint64_t end_bytes,
                      range_edge_fn *grant, void *context)
{
    if (blocks->root == NULL)
        return;
    struct treap_parts parts = treap_split(blocks, start_bytes, end_bytes);
    count_down(parts.within, 1);
    grant_ready(parts.within, grant, context);
    treap_join(blocks, &parts);
}

/* Along the two edges of the range, and into one subtree between them, where there is one for
 * sure. */
static struct range_edge *find(const struct treap_node *node, uint64_t start_bytes,
                               uint64_t end_bytes, uint64_t number)
{
    if (node == NULL || hot_of(node)->oldest >= number)
        return NULL;
    if (node->key >= start_bytes) {
        struct range_edge *edge = find(node->left, start_bytes, end_bytes, number);

        if (edge != NULL)
            return edge;
        if (node->key < end_bytes && hot_of(node)->first->number < number)
            return hot_of(node)->first;
    }
    return node->key < end_bytes ? find(node->right, start_bytes, end_bytes, number) : NULL;
}

struct range_edge *range_hot_find(const struct treap *blocks, uint64_t start_bytes,
                                  uint64_t end_bytes, uint64_t number)
{
    return find(blocks->root, start_bytes, end_bytes, number);
}
