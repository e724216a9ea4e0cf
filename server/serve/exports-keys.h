/* What is under way with keys of exports: those that go for a time or are there again, and those of
 * a header that are changed.  On the thread of the exports. */
#ifndef NBDCRYPT_EXPORTS_KEYS_H
#define NBDCRYPT_EXPORTS_KEYS_H

#include "server/serve/exports-keyslots.h"
#include "server/serve/exports-suspend.h"

struct exports_keys {
    struct key_change *changes;
    struct keyslot_change *keyslots;
};

bool exports_keys_are_meant(const struct exports_change *change);
/* change->done is called when it is made, or has failed; perhaps at once. */
void exports_keys_begin(struct exports_keys *keys, struct exports_change *change,
                        const struct export_set *set, const struct key_terms *terms);
void exports_keys_look(struct exports_keys *keys);
/* As key_changes_next_ms(). */
uint64_t exports_keys_next_ms(const struct exports_keys *keys);
/* As key_changes_fail(). */
struct worker_round *exports_keys_fail(struct exports_keys *keys);

#endif
