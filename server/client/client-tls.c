#include "server/client/client-tls.h"

int client_tls_start(void *context, struct channel *channel, struct error *err)
{
    struct client_tls *tls = context;
    const struct nbd_uri *uri = tls->uri;
    const struct tls_client_settings settings = {
        .certificates = uri->tls_certificates,
        .psk_file = uri->tls_psk_file,
        .user = uri->user,
        .host = uri->host_alone != NULL ? uri->host_alone : uri->host,
    };

    return tls_client_handshake(&tls->client, channel, &settings, err);
}
