/* What a ring may be used for, whoever gets to write to it: a filter of system calls does not see
 * what goes through a ring.  Nothing opens, connects, listens or sets options there. */
#ifndef NBDCRYPT_RING_RESTRICTIONS_H
#define NBDCRYPT_RING_RESTRICTIONS_H

#include <stdbool.h>

/* For rings that are made from now on; at first they are not restricted.  Before there are
 * threads. */
void ring_restrictions_use(bool use);
/* Whether a ring is to be made disabled (IORING_SETUP_R_DISABLED), for ring_enable(). */
bool ring_restrictions_are_used(void);

/* A ring that was made disabled can be used from now on, for what is allowed: what else would be
 * registered is registered before.  Where the kernel knows of no restrictions it can be used for
 * all.  `accepts`: also for accepting.  -errno: it can't be used. */
int ring_enable(int ring_fd, bool accepts);

/* All rings that were made disabled are restricted, and there is one at least. */
bool ring_restrictions_hold(void);

#endif
