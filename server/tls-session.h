/* One TLS session at the server's end: its handshake, why that failed, and whom it proved.
 *
 * No I/O here: the owner sets push and pull functions on `gnutls` that work on memory.  One thread
 * at a time; the handshake may run on another one than the records. */
#ifndef NBDCRYPT_TLS_SESSION_H
#define NBDCRYPT_TLS_SESSION_H

#include "crypto/secret.h"
#include "server/peer.h"
#include "server/tls-credentials.h"

#define TLS_REASON_BYTES 640u

struct tls_session {
    gnutls_session_t gnutls;
    struct tls_credentials *credentials; /* one reference */
    void *owner;                         /* of the push and pull functions */

    bool refused;      /* it is the client that we do not accept: worth a warning */
    char *psk_named;   /* the PSK identity that it named, cut where that is long; NULL: none */
    int alert;         /* what the client is told; -1: what GnuTLS takes for the error */
    char reason[TLS_REASON_BYTES]; /* why the handshake failed: a sentence; "" before */

    /* For records of our own: see tls-record-keys.h */
    struct secret *record_keys; /* NULL: none */
    gnutls_keylog_func keylog_before;

    /* What is proven, after the handshake. */
    enum peer_proof proof;
    char *identity, **dns_names, **uris;
};

/* Takes over the reference to `credentials` in every case.  -ENOMEM or -EINVAL. */
NODISCARD int tls_session_init(struct tls_session *session, struct tls_credentials *credentials,
                               struct error *err);
void tls_session_free(struct tls_session *session);

/* Goes on with the handshake as far as the bytes go that have arrived; may take milliseconds.
 * 0: done; -EAGAIN: the client has to send more; -EPROTO: it failed, `reason` says why, and an
 * alert has been pushed. */
int tls_session_handshake(struct tls_session *session);

/* Moves what was proven to the peer, which is under TLS from now on. */
void tls_session_prove(struct tls_session *session, struct peer *peer);

/* A gnutls_psk_server_credentials_function2, for the credentials of sessions that are made here. */
int tls_session_find_psk(gnutls_session_t gnutls, const gnutls_datum_t *identity,
                         gnutls_datum_t *key);

/* A sentence for an error of GnuTLS that ended the session; static or within `session`.  `alert` is the one
 * received if GnuTLS did not see it, else 0. */
const char *tls_session_explain(struct tls_session *session, int error, int alert);

/* "TLS1.3, AES-128-GCM (vaes-avx2), SECP256R1, certificate CN=vm7" for the log, at most `text_bytes`.
 * `by` is what does the cipher, NULL: GnuTLS, which is not named. */
void tls_session_describe(struct tls_session *session, const struct peer *peer, const char *by,
                          char *text, size_t text_bytes);

#endif
