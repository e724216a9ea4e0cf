/* Limits that several exports have together: [limits NAME], and limit-group = NAME of an export.
 * Each member has a right to a part of them by its weight, and to what the others leave.
 * Timers have milliseconds: beyond some 100,000 commands a second weights are not kept.
 *
 * A group stays until the process ends, so that a command may wait for one that was taken out of
 * the configuration meanwhile: it has no limits then.  Any thread finds one; one at a time changes
 * them. */
#ifndef NBDCRYPT_LIMIT_GROUPS_H
#define NBDCRYPT_LIMIT_GROUPS_H

#include <stddef.h>

#include "server/export/limit-set.h"

#define LIMIT_GROUPS_MAX 10000u /* in the life of a process */
#define LIMIT_GROUP_NAME_BYTES_MAX 64u

/* The group of that name, made at the first call; NULL: there is no memory, or there are too
 * many. */
struct limit_set *limit_groups_get(const char *name);
/* Of one that limit_groups_get() gave. */
const char *limit_group_name(const struct limit_set *group);

/* Limits it, for the next command of each client of each member, until it is configured anew. */
void limit_group_use(struct limit_set *group, const struct limit_terms *terms, uint64_t now_ns);
/* What the configuration says of it: nothing changes where that is what it said before.  NULL: it
 * has no such group (any more), which then limits nothing. */
void limit_group_configure(struct limit_set *group, const struct limit_terms *terms,
                           uint64_t now_ns);
bool limit_group_is_configured(const struct limit_set *group);
unsigned limit_groups_configured(void); /* how many */

/* One more member, with that weight; another weight of it; 0: it is none any more.  One thread at a
 * time for each part. */
void limit_group_weigh(struct limit_set *group, struct limit_part *part, unsigned weight);

/* One after the other; NULL at first, and after the last.  They are never taken away. */
struct limit_set *limit_groups_next(const struct limit_set *group);

#endif
