/* Exports that are in no set any more: their clients go, each worker gives its pipeline back, and
 * then they are closed.  On the thread of the exports, but for what is for the end. */
#ifndef NBDCRYPT_EXPORTS_REMOVAL_H
#define NBDCRYPT_EXPORTS_REMOVAL_H

#include "server/serve/export-closing.h"
#include "server/serve/exports-change.h"
#include "server/serve/worker-thread.h"

struct removal;

struct removals {
    struct removal *first;
    struct removal *spare;  /* reserved */
    unsigned closing_count; /* of those that are being closed */
    sem_t *wake;            /* posted when there is something to look at */
    struct worker_thread **workers;
    unsigned worker_count;
    struct export_keepers keepers;
    struct loop *loop; /* of the thread, to make data durable */
};

/* Before a change that removes so many is made: 0, or -ENOMEM and nothing can be removed. */
NODISCARD int removals_reserve(struct removals *removals, size_t count);
/* For one that was reserved.  This export goes, as the change says; change->leaving grows, and
 * change->done is called when all that it removed are closed. */
void removals_add(struct removals *removals, struct exports_change *change, struct export *export);
/* Those of that name that are going are waited for: change->leaving grows, and change->done is
 * called when they are closed.  -ENOMEM, and nothing of that. */
NODISCARD int removals_await(struct removals *removals, struct exports_change *change,
                             const char *name);
/* What there is to do now. */
void removals_look(struct removals *removals);
/* When to look again at the latest, by channel_clock_ms(); UINT64_MAX: when `wake` says so. */
uint64_t removals_next_ms(const struct removals *removals);

/* The server ends: changes that wait are failed, their exports go with the others. */
void removals_fail(struct removals *removals);
/* Any thread with this loop, after that; makes durable what clients wrote.  0 or -EIO, told. */
int removals_flush(struct removals *removals, struct loop *loop);
void removals_close(struct removals *removals);

#endif
