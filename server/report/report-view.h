/* A tree as text for people and as JSON for programs: the same names and values in both.  Safe in a
 * handler of a signal. */
#ifndef NBDCRYPT_REPORT_VIEW_H
#define NBDCRYPT_REPORT_VIEW_H

#include "server/report/report-tree.h"

/* Where it goes: in pieces, so that it takes no memory. */
struct report_out {
    char *memory; /* a text; NULL: to `fd` */
    size_t room_bytes;
    int fd;
    unsigned wait_ms; /* for a reader that does not read; then the rest is given up.  A file: 0 */
    int error;        /* 0, or the first -errno; nothing is written after that */
    size_t used_bytes;
    char bytes[4000]; /* less than what a pipe takes at once, so that it never waits within */
};

/* The root's nodes are the head, but for the object "sections" of several trees: each of its
 * objects is one, by its name. */
void report_write_text(struct report_out *out, const struct report_tree *const *trees,
                       size_t count);
void report_write_json(struct report_out *out, const struct report_tree *const *trees,
                       size_t count);
/* Writes what is left; 0 or the first -errno; -ENOSPC: the memory is not enough. */
NODISCARD int report_out_end(struct report_out *out);

#endif
