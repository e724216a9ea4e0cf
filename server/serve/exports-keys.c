#include "server/serve/exports-keys.h"

/* NULL: no key is meant. */
static const char *name_of(const struct exports_change *change)
{
    if (change->keyslots != NULL)
        return change->keyslots->name;
    return change->resumed != NULL ? change->resumed : change->suspended;
}

bool exports_keys_are_meant(const struct exports_change *change)
{
    return name_of(change) != NULL;
}

void exports_keys_begin(struct exports_keys *keys, struct exports_change *change,
                        const struct export_set *set, const struct key_terms *terms)
{
    const char *name = name_of(change);

    if (exports_change_needs(change, set, name) < 0)
        change->done(change);
    else if (change->keyslots != NULL)
        keyslot_changes_begin(&keys->keyslots, change, exports_find(set, name), terms->seconds,
                              terms->wake);
    else
        key_changes_begin(&keys->changes, change, exports_find(set, name), terms);
}

void exports_keys_look(struct exports_keys *keys)
{
    key_changes_look(&keys->changes);
    keyslot_changes_look(&keys->keyslots);
}

uint64_t exports_keys_next_ms(const struct exports_keys *keys)
{
    uint64_t one = key_changes_next_ms(keys->changes);
    uint64_t other = keyslot_changes_next_ms(keys->keyslots);

    return one < other ? one : other;
}

struct worker_round *exports_keys_fail(struct exports_keys *keys)
{
    keyslot_changes_fail(&keys->keyslots);
    return key_changes_fail(&keys->changes);
}
