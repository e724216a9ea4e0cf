#include "server/base/log-exports.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* A name is known by its hash alone: of two that have the same one, which nobody lives to see, both
 * would have the level. */
static struct {
    atomic_uint_fast64_t hash; /* 0: free */
    atomic_int level;
} places[LOG_EXPORTS_MAX];

static atomic_uint count;

/* FNV-1a, 64 bits (RFC 9923); never 0. */
static uint64_t hash_of(const char *name)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (; *name != '\0'; name++)
        hash = (hash ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
    return hash != 0 ? hash : 1;
}

/* LOG_EXPORTS_MAX: there is none. */
static unsigned place_of(uint64_t hash)
{
    unsigned place = 0;

    while (place < LOG_EXPORTS_MAX &&
           atomic_load_explicit(&places[place].hash, memory_order_acquire) != hash)
        place++;
    return place;
}

bool log_exports_set(const char *name, int level)
{
    uint64_t hash = hash_of(name);
    unsigned place = place_of(hash);
    bool is_new = place == LOG_EXPORTS_MAX;

    if (is_new)
        place = place_of(0);
    if (place == LOG_EXPORTS_MAX)
        return false;
    atomic_store(&places[place].level, level);
    atomic_store_explicit(&places[place].hash, hash, memory_order_release);
    if (is_new)
        atomic_fetch_add(&count, 1);
    return true;
}

void log_exports_unset(const char *name)
{
    unsigned place = place_of(hash_of(name));

    if (place == LOG_EXPORTS_MAX)
        return;
    atomic_store(&places[place].hash, 0);
    atomic_fetch_sub(&count, 1);
}

bool log_exports_get(const char *name, int *level)
{
    if (atomic_load_explicit(&count, memory_order_relaxed) == 0)
        return false;
    unsigned place = place_of(hash_of(name));
    if (place == LOG_EXPORTS_MAX)
        return false;
    *level = atomic_load(&places[place].level);
    return true;
}
