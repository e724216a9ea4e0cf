/* Who the server at the other end of a TLS session is, for people. */
#ifndef NBDCRYPT_TLS_CLIENT_PEER_H
#define NBDCRYPT_TLS_CLIENT_PEER_H

#include <stdbool.h>
#include <time.h>

#include "server/client/tls-client.h"

#define TLS_PEER_NAME_BYTES 512u
#define TLS_PEER_SESSION_BYTES 160u

struct tls_client_peer {
    char session[TLS_PEER_SESSION_BYTES]; /* "TLS1.3, AES-128-GCM, X25519" */
    bool has_certificate;
    char subject[TLS_PEER_NAME_BYTES],
        issuer[TLS_PEER_NAME_BYTES]; /* RFC 4514; cut where too long */
    time_t expires;
};

/* After the handshake, while the client is there.  Names are as the certificate has them. */
void tls_client_peer_describe(struct tls_client_peer *out, struct tls_client *client);

#endif
