/* A question to all workers, and the wait for the last answer; one question a round.  Workers that
 * have ended answer no more: a round without all answers must stay until they have been joined. */
#ifndef NBDCRYPT_WORKER_ROUND_H
#define NBDCRYPT_WORKER_ROUND_H

#include <semaphore.h>
#include <stdatomic.h>

#include "server/connection/worker-exports.h"
#include "server/connection/worker-suspend.h"
#include "server/serve/worker-thread.h"

struct worker_round {
    struct worker_round *next; /* for whoever keeps them */
    unsigned worker_count;
    atomic_uint pending;
    sem_t answered;
    sem_t *wake; /* posted besides; NULL: nobody's */
    struct worker_part {
        struct worker_use use;
        struct worker_count count;
        struct worker_suspend suspend;
        struct worker_round *round;
    } parts[]; /* one per worker */
};

/* NULL: not enough memory. */
struct worker_round *worker_round_create(unsigned worker_count);
void worker_round_free(struct worker_round *round);

/* See worker-exports.h. */
void worker_round_use(struct worker_round *round, struct worker_thread **workers,
                      const struct export_set *set, const struct worker_terms *terms);
void worker_round_count(struct worker_round *round, struct worker_thread **workers,
                        const struct export *export);

/* See worker-suspend.h.  A round that was answered can ask this again. */
void worker_round_suspend(struct worker_round *round, struct worker_thread **workers,
                          struct export *export, bool resume);
/* After that and a successful wait.  To resume: 0, or the first failure. */
int worker_round_code(const struct worker_round *round);
/* To suspend: how many connections have requests that storage still has. */
unsigned worker_round_left(const struct worker_round *round);

/* Whether all have answered within this time; blocks. */
bool worker_round_wait(struct worker_round *round, unsigned timeout_ms);

/* After worker_round_count() and a successful wait: the clients of all workers. */
unsigned worker_round_clients(const struct worker_round *round);

#endif
