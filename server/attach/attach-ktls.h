/* TLS by the kernel, on a socket that is given to its NBD client: that can do no TLS itself. */
#ifndef NBDCRYPT_ATTACH_KTLS_H
#define NBDCRYPT_ATTACH_KTLS_H

#include "server/base/error.h"

struct tls_client;

/* Gives the keys of the session, which is at rest, to the kernel: the socket is then as one in the
 * clear.  -errno with a sentence; the connection is good for nothing then. */
NODISCARD int attach_ktls_start(int fd, struct tls_client *client, struct error *err);

#endif
