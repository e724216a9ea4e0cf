/* The key of an export goes for a time: its clients wait, and nothing in memory decrypts its disk.
 * On the thread of the exports, who looks now and then: storage and whoever gives the key are asked
 * on other threads, and may never answer. */
#ifndef NBDCRYPT_EXPORTS_SUSPEND_H
#define NBDCRYPT_EXPORTS_SUSPEND_H

#include "server/serve/exports-change.h"
#include "server/serve/worker-round.h"

struct key_terms {
    struct worker_thread **workers;
    unsigned worker_count;
    unsigned seconds; /* that a key may take to be there; 0: all it wants */
    sem_t *wake;      /* posted when there is something to look at */
};

/* One of them, under way; they are a list. */
struct key_change;

/* change->suspended: no command of its clients is begun from now on; those that take too long end
 * with their connection.  Its header is looked at for a moment: one that the key does not fit any
 * more would leave no way back, and it is served on (-EACCES, -EINVAL); one that can't be read now
 * is told, and the key goes all the same.  -EINVAL: it does not encrypt.
 *
 * change->resumed: the key is read again, and has to be the one of before: else, and when it can't
 * be had, it stays suspended.  One that waits for its key is failed by the next change of that
 * export's key (-ECANCELED).
 *
 * change->done is called when it is so, was so already, or has failed; perhaps at once. */
void key_changes_begin(struct key_change **list, struct exports_change *change,
                       struct export *export, const struct key_terms *terms);
void key_changes_look(struct key_change **list);
/* When to look again at the latest, by channel_clock_ms(); UINT64_MAX: when `wake` says so. */
uint64_t key_changes_next_ms(const struct key_change *list);
/* The server ends.  Gives a list of the rounds of which answers are still to come. */
struct worker_round *key_changes_fail(struct key_change **list);

#endif
