/* Keys of the header of an export are added, changed and removed while it is served.  On the thread
 * of the exports, who looks now and then: the work, which derives keys for seconds and waits for
 * storage, is done by other threads, by the same steps as `nbdcrypt key` (volume-keys.h), with the
 * image opened once more. */
#ifndef NBDCRYPT_EXPORTS_KEYSLOTS_H
#define NBDCRYPT_EXPORTS_KEYSLOTS_H

#include <semaphore.h>

#include "server/serve/exports-change.h"
#include "server/volume/volume-keys.h"

#define KEYSLOT_CHANGES_MAX 4u /* under way at a time */

enum keyslots_verb { KEYSLOTS_ADD, KEYSLOTS_CHANGE, KEYSLOTS_REMOVE };

/* exports_change.keyslots: what is asked for; it stays until `done`. */
struct keyslots_wish {
    const char *name; /* of the export */
    enum keyslots_verb verb;
    int key_fd, new_key_fd; /* passphrases, the caller's to close; -1: none */
    struct volume_keys_options options;
    int changed_slot, known_slot; /* out: see struct volume_keys */
};

/* One of them, under way; they are a list. */
struct keyslot_change;

/* change->done is called when it is so, or has failed; perhaps at once.  -EBUSY: the keys of this
 * export are being changed, or KEYSLOT_CHANGES_MAX are; -EINVAL: it has no header that can be
 * changed; -ETIMEDOUT; what volume-keys.h says.  `seconds`: that it may take; 0: all it wants.  One
 * that takes longer changes nothing, unless it has begun to write.  `wake` is posted when there is
 * something to look at. */
void keyslot_changes_begin(struct keyslot_change **list, struct exports_change *change,
                           const struct export *export, unsigned seconds, sem_t *wake);
void keyslot_changes_look(struct keyslot_change **list);
/* When to look again at the latest, by channel_clock_ms(); UINT64_MAX: when `wake` says so. */
uint64_t keyslot_changes_next_ms(const struct keyslot_change *list);
/* The server ends: what has begun to write is waited for, but not for long. */
void keyslot_changes_fail(struct keyslot_change **list);

#endif
