#include "server/export/export-set.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "server/access/access.h"

/* Names are those of the operator: nobody chooses them so that they meet in one place. */
static size_t name_hash(const char *name, size_t name_bytes)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */

    for (size_t i = 0; i < name_bytes; i++)
        hash = (hash ^ (uint8_t)name[i]) * 1099511628211u;
    return (size_t)(hash ^ hash >> 32);
}

static bool has_name(const struct export *ex, const char *name, size_t name_bytes)
{
    return strlen(ex->name) == name_bytes && memcmp(ex->name, name, name_bytes) == 0;
}

/* The place of that name, or the free one where it would stand: one is free always. */
static struct export **place_of(const struct export_set *set, const char *name, size_t name_bytes)
{
    size_t at = name_hash(name, name_bytes);

    while (set->by_name[at & (set->places - 1)] != NULL &&
           !has_name(set->by_name[at & (set->places - 1)], name, name_bytes))
        at++;
    return &set->by_name[at & (set->places - 1)];
}

/* With room for `count`, and none in it. */
static int create(struct export_set **out, size_t count, struct error *err)
{
    static atomic_uint_least64_t versions;
    struct export_set *set = calloc(1, sizeof *set);
    size_t places = 4;

    while (places < count * 2)
        places *= 2;
    if (set != NULL) {
        set->version = atomic_fetch_add(&versions, 1) + 1;
        set->places = places;
        set->exports = calloc(count + 1, sizeof *set->exports);
        set->by_name = calloc(places, sizeof *set->by_name);
    }
    if (set == NULL || set->exports == NULL || set->by_name == NULL) {
        export_set_free(set);
        return error_set(err, -ENOMEM, "not enough memory for a list of %zu exports", count);
    }
    *out = set;
    return 0;
}

static void add(struct export_set *set, struct export *ex)
{
    set->exports[set->count++] = ex;
    *place_of(set, ex->name, strlen(ex->name)) = ex;
}

int export_set_create(struct export_set **out, struct export *const *exports, size_t count,
                      struct error *err)
{
    int result = create(out, count, err);

    for (size_t i = 0; result == 0 && i < count; i++)
        add(*out, exports[i]);
    return result;
}

void export_set_free(struct export_set *set)
{
    if (set == NULL)
        return;
    free(set->exports);
    free(set->by_name);
    free(set);
}

size_t export_set_behind(const struct export_set *set, uint64_t id)
{
    size_t low = 0, high = set->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (set->exports[middle]->id <= id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool export_set_shows(const struct export *ex, const struct peer *peer)
{
    return access_allows(ex->access, peer);
}

/* NULL: this client sees none, or several. */
static struct export *only_one(const struct export_set *set, const struct peer *peer)
{
    struct export *only = NULL;

    for (size_t i = 0; i < set->count; i++) {
        if (!export_set_shows(set->exports[i], peer))
            continue;
        if (only != NULL)
            return NULL;
        only = set->exports[i];
    }
    return only;
}

struct export *export_set_find(const struct export_set *set, const struct peer *peer,
                               const char *name, size_t name_bytes)
{
    struct export *ex = *place_of(set, name, name_bytes);

    if (ex != NULL && export_set_shows(ex, peer))
        return ex;
    return name_bytes == 0 ? only_one(set, peer) : NULL;
}

size_t export_set_count(const struct export_set *set, const struct peer *peer)
{
    size_t count = 0;

    for (size_t i = 0; i < set->count; i++)
        count += export_set_shows(set->exports[i], peer);
    return count;
}

struct export *export_set_named(const struct export_set *set, const char *name, size_t name_bytes)
{
    struct export *ex = *place_of(set, name, name_bytes);

    return ex == NULL && name_bytes == 0 && set->count == 1 ? set->exports[0] : ex;
}

const char *export_set_name_to_attach(const struct export_set *set, bool tls)
{
    const struct export *chosen = NULL;

    for (size_t i = 0; i < set->count; i++) {
        const struct export *one = set->exports[i];
        bool can = export_is_open(one) && (tls || !one->tls_only);

        if (can && (chosen == NULL || one->name[0] == '\0'))
            chosen = one;
    }
    if (chosen == NULL && set->count > 0)
        chosen = set->exports[0]; /* it may come */
    return chosen != NULL ? chosen->name : "";
}
