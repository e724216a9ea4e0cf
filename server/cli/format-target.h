/* An image or a header file that is formatted: what is there, room for it, and how to undo that. */
#ifndef NBDCRYPT_FORMAT_TARGET_H
#define NBDCRYPT_FORMAT_TARGET_H

#include "server/block/layer.h"

/* Before and while it is written; zeroed at first. */
struct format_target {
    const char *spec;         /* NULL: there is none */
    const char *path;         /* of a local file; NULL: another backend */
    const char *force_option; /* that overwrites it: "force" */
    bool exists;
    bool made;            /* by this run */
    bool grown;           /* by this run, from nothing if it was made */
    uint64_t size_bytes;  /* 0 when it does not exist */
    int grown_fd;         /* what was made or enlarged, to undo that; of no meaning otherwise */
    uint64_t ended_bytes; /* where it ended before */
    uint64_t ends_bytes;  /* where it ends now */
    struct stage *stage;  /* open since it was looked at, and locked; NULL when it did not exist */
};

struct format_target_wish {
    const char *spec;
    bool may_be_made; /* if it is a file that does not exist */
    bool is_written;
    uint64_t area_bytes; /* so much of it must be empty, as far as it is that long */
    struct lock_terms terms;
    bool force; /* what is there does not matter */
    const char *force_option;
};

/* Looks at it: -EEXIST: it is not empty; -ENOENT; -EBUSY; ...  Blocks.  format_target_close() in
 * every case. */
NODISCARD int format_target_inspect(struct format_target *target,
                                    const struct format_target_wish *wish, struct error *err);

/* Makes the file, or makes it larger; never smaller.  Durable.  Blocks. */
NODISCARD int format_target_make_room(struct format_target *target, uint64_t size_bytes,
                                      struct error *err);
/* Makes that undone.  False: a warning says what is left of it. */
bool format_target_undo(const struct format_target *target);

void format_target_close(struct format_target *target);

#endif
