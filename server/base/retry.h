/* Waiting for what a process that was killed still holds.
 *
 * The kernel takes an io_uring apart after its process has died: until then the listening
 * sockets and file locks of the dead one stay.  Who starts a new server at once (a service manager
 * does) must not be refused for that. */
#ifndef NBDCRYPT_RETRY_H
#define NBDCRYPT_RETRY_H

#include <stdbool.h>

struct retry {
    unsigned tries;
};

/* Sleeps a little and says true: try again; false when two seconds have passed. */
bool retry_wait(struct retry *retry);

#endif
