/* The writes that replace a header by another one, as steps: all of them, or none.
 *
 *     read what is there | write that again | step: write, flush, read back | next step ...
 *                          ^ room for it      ^ fails: the steps so far, backwards, as it was
 *
 * The first pass changes no byte, but has storage allocate what is sparse, and finds out where it
 * can't be written (a full file system, a bad block), while nothing is lost yet.  Each step must
 * leave what it is called for (a key that opens) in whatever pieces it arrives; backwards, it is
 * the same.
 *
 * From the step `turn` on the new header is in force.  What fails there is not undone, the steps
 * behind it are still taken, and the first failure is told. */
#ifndef NBDCRYPT_LUKS_STEPS_H
#define NBDCRYPT_LUKS_STEPS_H

#include "crypto/luks/luks-store.h"

/* Keyslots twice (what comes, what goes), two headers, and a restore's detour. */
#define LUKS_STEPS_MAX (4u * LUKS2_KEYSLOTS_MAX)

enum luks_place {
    LUKS_PLACE_USED,
    LUKS_PLACE_SPARE, /* nothing needs what is there, before and after */
    LUKS_PLACE_WIPED, /* a key needs it until the turn, nothing afterwards: no room is made */
};

struct luks_step {
    struct luks_area
        range;    /* before the turn: that of an earlier step, or apart from all of them */
    int image_fd; /* has the new content, at the same place; of the caller */
    enum luks_place place;
};

struct luks_steps {
    struct luks_step items[LUKS_STEPS_MAX];
    unsigned count;
    unsigned turn;
};

/* What is stored when not all of it could be written. */
enum luks_outcome {
    LUKS_OUTCOME_UNTOUCHED, /* nothing was written */
    LUKS_OUTCOME_BEFORE,    /* what was there before, durably; it may have been written again */
    LUKS_OUTCOME_AFTER,     /* the new header, durably; steps behind the turn are missing */
    LUKS_OUTCOME_UNKNOWN,   /* neither: undoing it failed, too */
};

/* An assertion holds where there are too many. */
void luks_steps_add(struct luks_steps *steps, const struct luks_area *range, int image_fd,
                    enum luks_place place);
/* Both copies of a LUKS2 header, one after the other; each has copy_bytes. */
void luks_steps_add_copies(struct luks_steps *steps, int image_fd, uint64_t copy_bytes,
                           bool primary_first);

struct luks_end {
    enum luks_outcome outcome;
    unsigned stored; /* so many of the first steps are stored, durably */
    bool flushed;    /* every flush succeeded; if not, what reads back need not be what is stored */
};

/* 0: all is written, flushed and read back.  Else what `store` says, and how it ended. */
NODISCARD int luks_steps_run(const struct luks_steps *steps, const struct luks_store *store,
                             struct luks_end *end, struct error *err);

#endif
