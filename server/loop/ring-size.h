/* How large a ring may be.  Rings and registered memory count as locked, for all processes of a
 * user together. */
#ifndef NBDCRYPT_RING_SIZE_H
#define NBDCRYPT_RING_SIZE_H

#include <stdbool.h>

#define RING_SIZE_MIN 16u

/* False: this process may lock what it wants. */
bool ring_size_is_bounded(void);
/* Of `entries` to submit, so many that the servers which the user starts after this one can have
 * the same: a small ring does, with more system calls.  `others` like it are made besides. */
unsigned ring_size_fair(unsigned entries, unsigned others);

#endif
