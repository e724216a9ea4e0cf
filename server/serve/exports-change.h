/* A change of the exports of a running server: what is asked for, and whether that fits. */
#ifndef NBDCRYPT_EXPORTS_CHANGE_H
#define NBDCRYPT_EXPORTS_CHANGE_H

#include "server/connection/worker.h"

struct keyslots_wish;

/* What becomes of the clients of an export that goes. */
enum exports_farewell {
    EXPORTS_SAFE,  /* there must be none: -EBUSY */
    EXPORTS_DRAIN, /* they may stay for some time; no others come */
    EXPORTS_NOW,   /* what is in flight is answered, and they are told to go */
};

/* A new one, or what one that stays is to be from now on.  The settings, and what they point to,
 * are freed by `free_settings` when the export is closed or gets others, or when the change
 * fails. */
struct exports_addition {
    struct export_settings *settings;
    void (*free_settings)(struct export_settings *settings);
};

/* One change, for exports_submit() of exports.h.  Of one name it has one part, but that it may go
 * and another one come: then on another image, for that of the old one is in use until it has gone,
 * and its clients are told to go at once. */
struct exports_change {
    struct exports_addition *added;
    size_t added_count;
    const char **removed;
    size_t removed_count;
    enum exports_farewell farewell; /* of those */
    unsigned drain_seconds;         /* EXPORTS_DRAIN: then they are told to go */
    /* The one in `removed` may have gone already, which is told in `absent`; where it is going, the
     * change ends with that.  Alone in a change. */
    bool if_present, absent;
    /* What differs from before is what export_alter() can give it. */
    struct exports_addition *altered;
    size_t altered_count;
    const struct worker_terms *terms; /* of all workers from then on; NULL: those of before */
    bool rescan;                      /* look whether images have grown */
    /* Of one that is there: exports-suspend.h; NULL: of none.  Alone in a change. */
    const char *suspended, *resumed;
    const struct key_source *key;   /* for `resumed`; NULL: that of its settings */
    struct keyslots_wish *keyslots; /* exports-keyslots.h; NULL: none.  Alone in a change. */

    /* Called on the thread of the exports when what is added is open, and nothing is in the way any
     * more: writes down what is to last, and may block for that.  -errno, with change->error: the
     * change fails.  NULL: there is nothing. */
    int (*record)(struct exports_change *change);
    /* Called on the thread of the exports when nothing can fail any more, before any worker is
     * told; must not block.  False: it is not made.  NULL: nobody asks. */
    bool (*about_to)(struct exports_change *change);
    /* Called on the thread of the exports when the change has been made, before `done`, which may
     * come much later; must not block.  NULL: nobody asks. */
    void (*published)(struct exports_change *change);
    /* Called on the thread of the exports when the change has been made and `removed` are closed,
     * or has failed; must not block. */
    void (*done)(struct exports_change *change);
    int code; /* 0; -errno: nothing has changed, and why: -EEXIST (the name is there), -ENOENT,
               * -EBUSY (`clients` of them), -ESHUTDOWN (the server is ending), or what opening
               * gave; -EIO: it was made, but an export that went could not make its data durable */
    struct error error;
    unsigned clients;

    struct exports_change *next; /* for exports.c, as what follows */
    size_t leaving;
};

/* The export of exactly that name; NULL: there is none. */
struct export *exports_find(const struct export_set *set, const char *name);

/* Takes note of a failure; gives `code`. */
int exports_change_fail(struct exports_change *change, int code);
int exports_change_fail_for_the_end(struct exports_change *change);

bool exports_change_removes(const struct exports_change *change, const struct export *export);
/* One of its name is among those that are added. */
bool exports_change_adds(const struct exports_change *change, const char *name);

/* What is counted for the name of an export goes on counting when another one takes its place. */
void exports_change_keep_figures(const struct exports_change *change,
                                 const struct export_set *before, const struct export_set *after,
                                 const struct board *board);

/* Whether all it speaks of is there, and what it adds is not; -ENOENT and -EEXIST are noted. */
NODISCARD int exports_change_check(struct exports_change *change, const struct export_set *set);
/* The same of one name. */
NODISCARD int exports_change_needs(struct exports_change *change, const struct export_set *set,
                                   const char *name);

#endif
