/* Room for descriptors, before work is given to a library that says something else when there is
 * none. */
#ifndef NBDCRYPT_DESCRIPTORS_H
#define NBDCRYPT_DESCRIPTORS_H

#include "server/base/error.h"

/* 0: so many more can be open.  -EMFILE, -ENFILE or another -errno: they can't; the message says
 * how many there may be, and how to get more.  They are opened for a moment. */
NODISCARD int descriptors_require(unsigned count, struct error *err);
/* The same for a first client on each of so many sockets: a server without room for a single one is
 * of no use, and would only tell those who come. */
NODISCARD int descriptors_require_client(unsigned listeners, struct error *err);

/* As many as this process may have; what it has already is enough for a start. */
void descriptors_raise_limit(void);

/* Keeps the free ones below 10 from what is opened next, until they are given to plugins of nbdkit:
 * some of those name theirs to a shell, which takes no others.  One thread, at the start; where
 * there are few descriptors at all they are not kept. */
void descriptors_keep_low(void);
void descriptors_give_low(void);

#endif
