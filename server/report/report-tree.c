#include "server/report/report-tree.h"

#include <errno.h>
#include <stdalign.h>
#include <string.h>
#include <sys/mman.h>

#include "server/base/log-text.h"

int report_tree_create(struct report_tree *tree, size_t room_bytes, struct error *err)
{
    void *memory = mmap(NULL, room_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (memory == MAP_FAILED)
        return error_no_memory(err, "for reports");
    *tree = (struct report_tree){ .memory = memory,
                                  .room_bytes = room_bytes - REPORT_TREE_KEPT_BYTES,
                                  .root.kind = REPORT_OBJECT,
                                  .nowhere.kind = REPORT_OBJECT };
    return 0;
}

void report_tree_clear(struct report_tree *tree)
{
    if (tree->used_bytes > 0)
        (void)madvise(tree->memory, tree->room_bytes + REPORT_TREE_KEPT_BYTES, MADV_DONTNEED);
    tree->used_bytes = 0;
    tree->left_out = 0;
    tree->root.first = tree->root.last = NULL;
}

/* NULL: there is no room. */
static void *take(struct report_tree *tree, size_t bytes)
{
    size_t unit = alignof(struct report_node), rounded = (bytes + unit - 1) / unit * unit;
    void *taken = tree->memory + tree->used_bytes;

    if (tree->used_bytes + rounded > tree->room_bytes) {
        tree->left_out++;
        return NULL;
    }
    tree->used_bytes += rounded;
    return taken;
}

static struct report_node *add(struct report_tree *tree, struct report_node *of, const char *name,
                               enum report_kind kind)
{
    struct report_node *node = of != &tree->nowhere ? take(tree, sizeof *node) : NULL;

    if (node == NULL) {
        tree->nowhere.first = NULL;
        return &tree->nowhere;
    }
    *node = (struct report_node){ .name = name, .kind = kind };
    if (of->last != NULL)
        of->last->next = node;
    else
        of->first = node;
    of->last = node;
    return node;
}

struct report_node *report_object(struct report_tree *tree, struct report_node *of,
                                  const char *name)
{
    return add(tree, of, name, REPORT_OBJECT);
}

struct report_node *report_list(struct report_tree *tree, struct report_node *of, const char *name)
{
    return add(tree, of, name, REPORT_LIST);
}

/* Lines stay lines. */
static size_t escape(char *out, const char *text)
{
    size_t used = 0;

    while (*text != '\0') {
        char piece[256];
        size_t length = strcspn(text, "\n");
        bool line_ends = text[length] == '\n' && length < sizeof piece;

        if (length >= sizeof piece) { /* not within a character */
            length = sizeof piece - 1;
            /* It knows no strcspn: NOLINTNEXTLINE(clang-analyzer-core.*) */
            while (length > sizeof piece - 4 && ((unsigned char)text[length] & 0xc0) == 0x80)
                length--;
        }
        memcpy(piece, text, length);
        piece[length] = '\0';
        used += log_text_escape(out + used, piece);
        text += length;
        if (line_ends) {
            out[used++] = '\n';
            text++;
        }
    }
    return used;
}

void report_text(struct report_tree *tree, struct report_node *of, const char *name,
                 const char *text)
{
    if (text == NULL)
        return;
    size_t room_bytes = strlen(text) * LOG_TEXT_GROWTH + 1, before = tree->used_bytes;
    char *copy = of != &tree->nowhere ? take(tree, room_bytes) : NULL;

    if (copy == NULL)
        return;
    size_t used = escape(copy, text);
    copy[used] = '\0';
    tree->used_bytes = before;
    (void)take(tree, used + 1);
    struct report_node *node = add(tree, of, name, REPORT_TEXT);
    if (node != &tree->nowhere)
        node->text = copy;
}

void report_text_of(struct report_tree *tree, struct report_node *of, const char *name,
                    const char *text, size_t length_bytes)
{
    char copy[512];

    if (length_bytes >= sizeof copy)
        length_bytes = sizeof copy - 1;
    memcpy(copy, text, length_bytes);
    copy[length_bytes] = '\0';
    report_text(tree, of, name, copy);
}

void report_number(struct report_tree *tree, struct report_node *of, const char *name,
                   uint64_t number)
{
    struct report_node *node = add(tree, of, name, REPORT_NUMBER);

    if (node != &tree->nowhere)
        node->number = number;
}

void report_flag(struct report_tree *tree, struct report_node *of, const char *name, bool flag)
{
    struct report_node *node = add(tree, of, name, REPORT_FLAG);

    if (node != &tree->nowhere)
        node->flag = flag;
}

void report_address(struct report_tree *tree, struct report_node *of, const char *name,
                    uint64_t address)
{
    char text[2 + 16 + 1], *at = text + sizeof text - 1;

    *at = '\0';
    do
        *--at = "0123456789abcdef"[address & 15];
    while ((address >>= 4) > 0);
    *--at = 'x';
    *--at = '0';
    report_text(tree, of, name, at);
}

const struct report_node *report_find(const struct report_node *of, const char *name)
{
    for (const struct report_node *node = of->first; node != NULL; node = node->next)
        if (node->name != NULL && strcmp(node->name, name) == 0)
            return node;
    return NULL;
}
