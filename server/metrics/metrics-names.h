/* Which exports have histograms of their own, where there are too many for all: those that came
 * first.  Who has them keeps them, so that no figure that is shown ever goes back. */
#ifndef NBDCRYPT_METRICS_NAMES_H
#define NBDCRYPT_METRICS_NAMES_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct metrics_names {
    pthread_mutex_t mutex; /* of one look; the functions below are called with it */
    unsigned max;
    uint64_t newest_id; /* of the exports that were seen */
    char **items;       /* sorted */
    bool *seen;         /* in this look */
    size_t count;
};

/* For so many at most; without memory for fewer. */
void metrics_names_init(struct metrics_names *names, unsigned max);
void metrics_names_free(struct metrics_names *names);

/* A look begins at all exports, by ascending ids. */
void metrics_names_begin(struct metrics_names *names);
/* Does this one have them?  A new one gets them if there is room. */
bool metrics_names_has(struct metrics_names *names, const char *name, uint64_t id);
/* Those that were not asked for are gone. */
void metrics_names_end(struct metrics_names *names);

#endif
