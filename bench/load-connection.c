#include "bench/load-connection.h"

#include "bench/libnbd-client.h"

void load_connection_destroy(struct load_connection *connection)
{
    if (connection->own != NULL)
        bench_client_destroy(connection->own);
    else
        libnbd_client_destroy(connection->libnbd);
}

void load_connection_attach(struct load_connection *connection, struct loop *loop,
                            struct scratch *scratch, const struct client_owner_ops *ops,
                            void *owner)
{
    if (connection->own != NULL)
        bench_client_attach(connection->own, loop, scratch, ops, owner);
    else
        libnbd_client_attach(connection->libnbd, loop, scratch, ops, owner);
}

unsigned load_connection_in_flight(const struct load_connection *connection)
{
    return connection->own != NULL ? bench_client_in_flight(connection->own)
                                   : libnbd_client_in_flight(connection->libnbd);
}

void load_connection_abort(struct load_connection *connection, const struct error *err)
{
    if (connection->own != NULL)
        bench_client_abort(connection->own, err);
    else
        libnbd_client_abort(connection->libnbd, err);
}

void load_connection_detach(struct load_connection *connection)
{
    if (connection->own != NULL)
        bench_client_detach(connection->own);
    else
        libnbd_client_detach(connection->libnbd);
}
