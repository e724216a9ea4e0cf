/* TLS as the URI of a server asks for it, or with credentials that stand elsewhere. */
#ifndef NBDCRYPT_CLIENT_TLS_H
#define NBDCRYPT_CLIENT_TLS_H

#include "server/base/error.h"
#include "server/client/channel.h"
#include "server/client/tls-client.h"
#include "server/nbd/nbd-uri.h"

struct client_tls {
    const struct nbd_uri *uri;
    const char *certificates, *psk_file; /* both NULL: those that the URI names */
    struct tls_client *client; /* NULL: not yet.  The caller frees it, also after a failure. */
};

/* `start_tls` of struct client_wishes, whose `context` is a struct client_tls. */
NODISCARD int client_tls_start(void *context, struct channel *channel, struct error *err);

#endif
