#include "server/client/client-tls.h"

int client_tls_start(void *context, struct channel *channel, struct error *err)
{
    struct client_tls *tls = context;
    const struct nbd_uri *uri = tls->uri;
    bool of_uri = tls->certificates == NULL && tls->psk_file == NULL;
    const struct tls_client_settings settings = {
        .certificates = of_uri ? uri->tls_certificates : tls->certificates,
        .psk_file = of_uri ? uri->tls_psk_file : tls->psk_file,
        .user = uri->user,
        .host = uri->host_alone != NULL ? uri->host_alone : uri->host,
    };

    return tls_client_handshake(&tls->client, channel, &settings, err);
}
