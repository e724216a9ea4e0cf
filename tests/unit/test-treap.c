/* The tree: against a sorted array. */
#include "server/base/treap.h"

#include <stdlib.h>

#include "server/loop/loop.h"
#include "tests/support/check.h"

#define NODES 600u

struct item {
    struct treap_node node;
    bool there;
    int64_t value; /* what was added to it, as far as its ancestors have told */
    int64_t owed, sum;
    int64_t expected;
};

static struct item items[NODES];
static struct treap tree;

static struct item *item_of(struct treap_node *node)
{
    return container_of(node, struct item, node);
}

static void add_to(struct treap_node *node, int64_t count)
{
    if (node == NULL)
        return;
    item_of(node)->value += count;
    item_of(node)->owed += count;
}

static void push(struct treap_node *node)
{
    add_to(node->left, item_of(node)->owed);
    add_to(node->right, item_of(node)->owed);
    item_of(node)->owed = 0;
}

/* How many nodes the subtree has. */
static void update(struct treap_node *node)
{
    item_of(node)->sum = 1 + (node->left != NULL ? item_of(node->left)->sum : 0) +
                         (node->right != NULL ? item_of(node->right)->sum : 0);
}

static unsigned depth_of(const struct treap_node *node)
{
    if (node == NULL)
        return 0;
    unsigned left = depth_of(node->left), right = depth_of(node->right);
    return 1 + (left > right ? left : right);
}

/* Visits in order, and pays what is owed. */
static unsigned check_subtree(struct treap_node *node, uint64_t *last)
{
    if (node == NULL)
        return 0;
    push(node);
    unsigned count = check_subtree(node->left, last);
    EXPECT(node->key >= *last);
    *last = node->key;
    EXPECT(item_of(node)->there && item_of(node)->value == item_of(node)->expected);
    count += 1 + check_subtree(node->right, last);
    EXPECT(item_of(node)->sum == count);
    return count;
}

static void check_all(unsigned expected)
{
    uint64_t last = 0, least = UINT64_MAX;

    EXPECT(check_subtree(tree.root, &last) == expected);
    for (unsigned i = 0; i < NODES; i++)
        if (items[i].there && items[i].node.key < least)
            least = items[i].node.key;
    EXPECT(expected == 0 ? treap_first(&tree) == NULL : treap_first(&tree)->key == least);
}

static void start(void)
{
    memset(items, 0, sizeof items);
    treap_init(&tree, 4711);
    tree.push = push;
    tree.update = update;
}

static void random_operations(void)
{
    unsigned seed = 1, count = 0;

    start();
    for (unsigned i = 0; i < 20000; i++) {
        struct item *item = &items[(unsigned)rand_r(&seed) % NODES];
        uint64_t key = (uint64_t)rand_r(&seed) % 200, to = key + (uint64_t)rand_r(&seed) % 50;

        if (i % 3 == 0) { /* adds 1 to all from key to `to` */
            struct treap_parts parts = treap_split(&tree, key, to);

            add_to(parts.within, 1);
            treap_join(&tree, &parts);
            for (unsigned n = 0; n < NODES; n++)
                items[n].expected +=
                    items[n].there && items[n].node.key >= key && items[n].node.key < to;
        } else if (item->there) {
            treap_remove(&tree, &item->node);
            item->there = false;
            count--;
        } else {
            *item = (struct item){ .there = true, .sum = 1 };
            treap_insert(&tree, &item->node, key);
            count++;
        }
        if (i % 50 == 0)
            check_all(count);
    }
    check_all(count);
}

/* Whatever the order of the keys: 600 nodes would be 10 deep at best, and 600 at worst. */
static void stays_flat(void)
{
    static const unsigned steps[] = { 1, NODES - 1, 7, 0 };

    for (unsigned n = 0; n < 4; n++) {
        start();
        for (unsigned i = 0; i < NODES; i++) {
            items[i].there = true;
            treap_insert(&tree, &items[i].node, i * steps[n] % NODES);
        }
        check_all(NODES);
        EXPECT(depth_of(tree.root) < 45);
    }
}

static const struct check checks[] = {
    { "any order of insertions, removals and changes to ranges gives what an array gives",
      random_operations },
    { "the tree stays flat whatever the order of the keys", stays_flat },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
