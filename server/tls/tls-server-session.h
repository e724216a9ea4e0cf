/* Whether a client is let in: a TLS session at the server's end, its handshake, why that failed,
 * and whom it proved. */
#ifndef NBDCRYPT_TLS_SERVER_SESSION_H
#define NBDCRYPT_TLS_SERVER_SESSION_H

#include "server/access/peer.h"
#include "server/tls/tls-credentials.h"
#include "server/tls/tls-session.h"

struct tls_server_session {
    struct tls_session session;
    struct tls_credentials *credentials; /* one reference */

    bool refused;    /* it is the client that we do not accept: worth a warning */
    char *psk_named; /* the PSK identity that it named, cut where that is long; NULL: none */

    /* What is proven, after the handshake. */
    enum peer_proof proof;
    char *identity, **dns_names, **uris;
    struct peer_certificate certificate;
};

/* Takes over the reference to `credentials` in every case.  -ENOMEM or -EINVAL.  tls_session_free()
 * frees it. */
NODISCARD int tls_server_session_create(struct tls_server_session **out,
                                        struct tls_credentials *credentials, struct error *err);

/* The same around a session that somebody else has made and whose handshake he leads: what is
 * demanded of a client is demanded there.  It is freed first, or when the other one is not used any
 * more. */
NODISCARD int tls_server_session_adopt(struct tls_server_session **out, gnutls_session_t gnutls,
                                       struct tls_credentials *credentials, struct error *err);
/* When that handshake has succeeded: as tls_server_session_prove().  -ENOMEM. */
NODISCARD int tls_server_session_conclude(struct tls_server_session *admission, struct peer *peer);

/* Goes on with the handshake as far as the bytes go that have arrived; may take milliseconds.
 * 0: done; -EAGAIN: the client has to send more; -EPROTO: it failed, the session's reason says why,
 * and an alert has been pushed. */
int tls_server_session_handshake(struct tls_server_session *admission);

/* Moves what was proven to the peer, which is under TLS from now on. */
void tls_server_session_prove(struct tls_server_session *admission, struct peer *peer);

/* A gnutls_psk_server_credentials_function2, for the credentials of sessions that are made here. */
int tls_server_session_find_psk(gnutls_session_t gnutls, const gnutls_datum_t *identity,
                                gnutls_datum_t *key);

/* "TLS1.3, AES-128-GCM (vaes-avx2), SECP256R1, certificate CN=vm7" for the log, at most
 * `text_bytes`. `by` is as in tls_session_describe(). */
void tls_server_session_describe(struct tls_server_session *admission, const struct peer *peer,
                                 const char *by, char *text, size_t text_bytes);

#endif
