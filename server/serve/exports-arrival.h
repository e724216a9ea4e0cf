/* The exports that a change adds, while they are opened: each on a thread of its own, several at a
 * time, for storage, a server or whoever gives a key may never answer.  On the thread of the
 * exports. */
#ifndef NBDCRYPT_EXPORTS_ARRIVAL_H
#define NBDCRYPT_EXPORTS_ARRIVAL_H

#include <semaphore.h>

#include "server/serve/exports-change.h"

#define ARRIVALS_AT_ONCE 8u

struct arrival;
struct departure;

struct arrival_terms {
    struct offload *offload;
    unsigned workers; /* that will serve them */
    unsigned seconds; /* that one may take; 0: all it wants */
    sem_t *wake;      /* posted when there is something to look at */
};

struct arrivals {
    struct arrivals *next; /* for exports.c */
    struct exports_change *change;
    struct arrival_terms terms;
    struct export **opened; /* change->added_count; NULL: it is not */
    struct arrival *under_way[ARRIVALS_AT_ONCE];
    size_t begun;
    struct departure *departure; /* of those that were opened in vain; NULL: none */
};

/* Begins with arrivals_look().  -ENOMEM. */
NODISCARD int arrivals_create(struct arrivals **out, struct exports_change *change,
                              const struct arrival_terms *terms, struct error *err);
/* True: nothing is under way any more.  All are opened; or change->code and ->error say why not,
 * and what was opened is closed.  Whoever fails a change with what was opened looks again.  The
 * settings of one that was given up are not the change's any more: they are NULL. */
bool arrivals_look(struct arrivals *arrivals);
/* When to look again at the latest, by channel_clock_ms(); UINT64_MAX: when `wake` says so. */
uint64_t arrivals_next_ms(const struct arrivals *arrivals);
/* The server ends: what is under way is left alone. */
void arrivals_leave(struct arrivals *arrivals);
/* `opened` have been taken over or closed. */
void arrivals_free(struct arrivals *arrivals);

#endif
