/* TLS by a thread of this process, for sockets that the kernel can't do it on.
 *
 * What the kernel writes back from its memory then needs this process to run, which may itself wait
 * for memory: so this is asked for, and never the default. */
#ifndef NBDCRYPT_ATTACH_PROXY_H
#define NBDCRYPT_ATTACH_PROXY_H

#include "server/base/error.h"

struct tls_client;

/* Puts itself between: *fd is then the near end of a pair of sockets, and the socket before and
 * *client, which is at rest, are the thread's until either side ends.  -errno with a sentence; both
 * stay as they were. */
NODISCARD int attach_proxy_start(int *fd, struct tls_client **client, struct error *err);

#endif
