/* A connection of the load generator, whichever client keeps it: its own, or libnbd. */
#ifndef NBDCRYPT_LOAD_CONNECTION_H
#define NBDCRYPT_LOAD_CONNECTION_H

#include "bench/bench-client.h"

struct libnbd_client;

/* One of them is set. */
struct load_connection {
    struct bench_client *own;
    struct libnbd_client *libnbd;
};

/* As the functions of bench-client.h. */
void load_connection_destroy(struct load_connection *connection);
void load_connection_attach(struct load_connection *connection, struct loop *loop,
                            struct scratch *scratch, const struct client_owner_ops *ops,
                            void *owner);
unsigned load_connection_in_flight(const struct load_connection *connection);
void load_connection_abort(struct load_connection *connection, const struct error *err);
void load_connection_detach(struct load_connection *connection);

#endif
