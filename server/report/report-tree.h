/* What a report holds, before it is text or JSON: values by name, and lists.  It is made in memory
 * that was set aside before, without locks, so that it can be made in a handler of a signal, and
 * when malloc() hangs.  What finds no room is left out, and the report says that. */
#ifndef NBDCRYPT_REPORT_TREE_H
#define NBDCRYPT_REPORT_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/base/error.h"

enum report_kind {
    REPORT_TEXT,
    REPORT_NUMBER,
    REPORT_FLAG,
    REPORT_OBJECT, /* its nodes have names */
    REPORT_LIST,   /* its nodes have none */
};

struct report_node {
    const char *name; /* a literal: a lower-case word as JSON has it; NULL in a list */
    enum report_kind kind;
    union {
        const char *text; /* in the tree: UTF-8 without control characters but line ends */
        uint64_t number;
        bool flag;
        struct report_node *first;
    };
    struct report_node *next, *last; /* of its siblings; of its own nodes */
};

#define REPORT_TREE_KEPT_BYTES 4096u /* for what says that something was left out */

struct report_tree {
    uint8_t *memory;
    size_t room_bytes, used_bytes;
    uint64_t left_out; /* nodes that found no room */
    struct report_node root, nowhere;
};

/* Sets memory aside; it takes up some only where it is used. */
NODISCARD int report_tree_create(struct report_tree *tree, size_t room_bytes, struct error *err);
/* Empty again; what it used is given back to the system. */
void report_tree_clear(struct report_tree *tree);

/* What all of these return can be added to: where there was no room, in vain. */
struct report_node *report_object(struct report_tree *tree, struct report_node *of,
                                  const char *name);
struct report_node *report_list(struct report_tree *tree, struct report_node *of, const char *name);
/* A copy of `text`; NULL adds nothing. */
void report_text(struct report_tree *tree, struct report_node *of, const char *name,
                 const char *text);
/* Of `length_bytes`. */
void report_text_of(struct report_tree *tree, struct report_node *of, const char *name,
                    const char *text, size_t length_bytes);
void report_number(struct report_tree *tree, struct report_node *of, const char *name,
                   uint64_t number);
void report_flag(struct report_tree *tree, struct report_node *of, const char *name, bool flag);
/* As text: 0x55d0. */
void report_address(struct report_tree *tree, struct report_node *of, const char *name,
                    uint64_t address);

/* The node of that name; NULL: there is none. */
const struct report_node *report_find(const struct report_node *of, const char *name);

#endif
