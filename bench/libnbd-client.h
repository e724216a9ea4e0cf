/* One connection of the load generator by libnbd: the client that others build their programs with,
 * driven as they drive it (its asynchronous calls, memory of its own for each request), on the loop
 * of one thread.  What it tells its owner is what bench-client.h says.
 *
 * In a build without libnbd there is none: libnbd-client-absent.c. */
#ifndef NBDCRYPT_LIBNBD_CLIENT_H
#define NBDCRYPT_LIBNBD_CLIENT_H

#include "bench/bench-client.h"
#include "server/client/client-handshake.h"

struct libnbd_client;

struct libnbd_client_config {
    const char *uri; /* as libnbd reads it: files of TLS are named in it */
    unsigned depth;
    uint32_t block_max_bytes;
    unsigned timeout_s; /* to connect */
    bool keep_data, simple, no_extended_headers;
};

/* Connects, blocking, and tells what the export is.  -errno with a sentence; -ENOSYS: the program
 * was built without libnbd. */
NODISCARD int libnbd_client_create(struct libnbd_client **out,
                                   const struct libnbd_client_config *config,
                                   struct export_info *info, struct error *err);
void libnbd_client_destroy(struct libnbd_client *client);
void libnbd_client_attach(struct libnbd_client *client, struct loop *loop, struct scratch *scratch,
                          const struct client_owner_ops *ops, void *owner);
unsigned libnbd_client_in_flight(const struct libnbd_client *client);
void libnbd_client_abort(struct libnbd_client *client, const struct error *err);
void libnbd_client_detach(struct libnbd_client *client);

#endif
