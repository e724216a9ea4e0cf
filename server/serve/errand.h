/* Work that may never come back, on a thread of its own: storage that hangs, a server or a program
 * that is silent.  Who has begun it looks whether it has ended, and leaves it when that takes too
 * long. */
#ifndef NBDCRYPT_ERRAND_H
#define NBDCRYPT_ERRAND_H

#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/base/error.h"

#define ERRANDS_LEFT_MAX 32u /* so many that were left may still be under way */

/* Part of what it works on. */
struct errand {
    void (*work)(struct errand *errand); /* on its thread */
    /* The same, at the end of one that was left: frees it, and what it has made. */
    void (*drop)(struct errand *errand);
    sem_t *wake;       /* posted when it has ended, unless it was left */
    uint64_t until_ms; /* by channel_clock_ms(): its time is over; UINT64_MAX: never */
    atomic_int state;  /* for errand.c */
};

/* `seconds`: its time; 0: it has all the time.  `work`, `drop` and `wake` are set.  -EBUSY:
 * ERRANDS_LEFT_MAX of those that were left have not come back; -EAGAIN: no thread.  Then it has not
 * begun. */
NODISCARD int errand_begin(struct errand *errand, unsigned seconds, struct error *err);
/* It is the caller's again. */
bool errand_has_ended(const struct errand *errand);
bool errand_is_late(const struct errand *errand);
/* Once begun, and not ended for the caller: it belongs to its thread from here on, or is dropped at
 * once. */
void errand_leave(struct errand *errand);

/* At the end of the process: whether none is under way, after a moment for those that are about to
 * end.  Else it has to end by _exit(). */
bool errands_have_ended(void);

#endif
