#include "server/metrics/metrics-names.h"

#include <stdlib.h>
#include <string.h>

void metrics_names_init(struct metrics_names *names, unsigned max)
{
    *names = (struct metrics_names){ .max = max };
    pthread_mutex_init(&names->mutex, NULL);
    names->items = calloc(max + 1, sizeof *names->items);
    names->seen = calloc(max + 1, sizeof *names->seen);
    if (names->items == NULL || names->seen == NULL)
        names->max = 0;
}

void metrics_names_free(struct metrics_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i]);
    free(names->items);
    free(names->seen);
    pthread_mutex_destroy(&names->mutex);
}

void metrics_names_begin(struct metrics_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        names->seen[i] = false;
}

/* Where it is, or belongs. */
static size_t place_of(const struct metrics_names *names, const char *name)
{
    size_t low = 0, high = names->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(names->items[middle], name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool add(struct metrics_names *names, size_t place, const char *name)
{
    char *copy = names->count < names->max ? strdup(name) : NULL;

    if (copy == NULL)
        return false;
    memmove(&names->items[place + 1], &names->items[place],
            (names->count - place) * sizeof names->items[0]);
    memmove(&names->seen[place + 1], &names->seen[place],
            (names->count - place) * sizeof names->seen[0]);
    names->items[place] = copy;
    names->seen[place] = true;
    names->count++;
    return true;
}

bool metrics_names_has(struct metrics_names *names, const char *name, uint64_t id)
{
    size_t place = place_of(names, name);
    bool new = id > names->newest_id;

    if (new)
        names->newest_id = id;
    if (place == names->count || strcmp(names->items[place], name) != 0)
        return new &&add(names, place, name);
    names->seen[place] = true;
    return true;
}

void metrics_names_end(struct metrics_names *names)
{
    size_t kept = 0;

    for (size_t i = 0; i < names->count; i++) {
        if (!names->seen[i]) {
            free(names->items[i]);
            continue;
        }
        names->items[kept] = names->items[i];
        names->seen[kept++] = true;
    }
    names->count = kept;
}
