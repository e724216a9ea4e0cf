/* The socket to a server of ours: a client's. */
#ifndef NBDCRYPT_CLIENT_CONNECT_H
#define NBDCRYPT_CLIENT_CONNECT_H

#include "server/client/channel.h"
#include "server/nbd/nbd-uri.h"

/* Connects channel->fd, within what the channel's deadline and stop flag allow; but a name is
 * looked up for as long as the system takes.  -errno with a sentence that names the address. */
NODISCARD int client_connect(struct channel *channel, const struct nbd_uri *uri, struct error *err);

/* The handshake is over: the socket blocks again, as a loop wants it. */
void client_connect_settle(int fd);

#endif
