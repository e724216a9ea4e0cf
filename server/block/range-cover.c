#include "server/block/range-cover.h"

#include <stddef.h>

#include "server/loop/loop.h"

static struct range_bound *bound_of(const struct treap_node *node)
{
    return container_of(node, struct range_bound, node);
}

static int32_t sum_of(const struct treap_node *node)
{
    return node != NULL ? bound_of(node)->sum : 0;
}

static void sum_up(struct treap_node *node)
{
    struct range_bound *bound = bound_of(node);

    bound->sum = bound->change + sum_of(node->left) + sum_of(node->right);
}

void range_cover_init(struct treap *ranges, uint64_t seed)
{
    treap_init(ranges, seed);
    ranges->update = sum_up;
}

void range_cover_add(struct treap *ranges, struct range_cover *cover, uint64_t start_bytes,
                     uint64_t end_bytes)
{
    cover->start.change = 1;
    cover->end.change = -1;
    treap_insert(ranges, &cover->start.node, start_bytes);
    treap_insert(ranges, &cover->end.node, end_bytes);
}

void range_cover_remove(struct treap *ranges, struct range_cover *cover)
{
    treap_remove(ranges, &cover->start.node);
    treap_remove(ranges, &cover->end.node);
}

uint32_t range_cover_count(const struct treap *ranges, uint64_t at_bytes)
{
    const struct treap_node *node = ranges->root;
    int32_t count = 0;

    while (node != NULL) {
        if (node->key <= at_bytes) {
            count += bound_of(node)->change + sum_of(node->left);
            node = node->right;
        } else {
            node = node->left;
        }
    }
    return (uint32_t)count;
}
