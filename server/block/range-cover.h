/* How many ranges lie over a byte: a range is two nodes of a tree, where it starts and where it
 * ends. */
#ifndef NBDCRYPT_RANGE_COVER_H
#define NBDCRYPT_RANGE_COVER_H

#include "server/base/treap.h"

struct range_bound {
    struct treap_node node;
    int32_t change; /* 1 where a range starts, -1 where it ends */
    int32_t sum;    /* of the subtree */
};

struct range_cover {
    struct range_bound start, end;
};

void range_cover_init(struct treap *ranges, uint64_t seed);
void range_cover_add(struct treap *ranges, struct range_cover *cover, uint64_t start_bytes,
                     uint64_t end_bytes);
void range_cover_remove(struct treap *ranges, struct range_cover *cover);
uint32_t range_cover_count(const struct treap *ranges, uint64_t at_bytes);

#endif
