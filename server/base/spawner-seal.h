/* What the process beside still starts once it is sealed: the orders come from a process that
 * somebody may have broken into, and nothing in an order tells who gave it.  So what may be started
 * is said before there is anybody, for good.
 *
 * It is a text in memory that nobody can change any more, so that a successor gets the same one. */
#ifndef NBDCRYPT_SPAWNER_SEAL_H
#define NBDCRYPT_SPAWNER_SEAL_H

#include <stdbool.h>
#include <stddef.h>

#include "server/base/error.h"

struct spawner_rule {
    char *const *argv;  /* ends with NULL */
    bool any_arguments; /* argv[0] alone counts */
};

/* The text, as a descriptor: what may be started, and the environment of all that is (ends with
 * NULL).  -errno with a sentence. */
NODISCARD int spawner_seal_make(int *fd, const struct spawner_rule *rules, size_t count,
                                char *const *environment, struct error *err);

/* ---- in the process beside, and in that which has told it; once in each ---- */

/* Takes it over; an errno: EINVAL when it can still be changed, or makes no sense.  The descriptor
 * stays the caller's. */
int spawner_seal_take(int fd);
bool spawner_seal_is_on(void);
bool spawner_seal_allows(char *const *argv);
char **spawner_seal_environment(void);

#endif
