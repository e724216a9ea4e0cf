#include "server/client/tls-client-peer.h"

#include <stdio.h>

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "server/tls/tls-session.h"

static void take_name(char out[TLS_PEER_NAME_BYTES], gnutls_x509_crt_t certificate,
                      int (*get)(gnutls_x509_crt_t, gnutls_datum_t *, unsigned))
{
    gnutls_datum_t name;

    if (get(certificate, &name, 0) < 0)
        return;
    (void)snprintf(out, TLS_PEER_NAME_BYTES, "%s", (const char *)name.data);
    gnutls_free(name.data);
}

static void take_certificate(struct tls_client_peer *out, const gnutls_datum_t *der)
{
    gnutls_x509_crt_t certificate;

    if (gnutls_x509_crt_init(&certificate) < 0)
        return;
    if (gnutls_x509_crt_import(certificate, der, GNUTLS_X509_FMT_DER) >= 0) {
        out->has_certificate = true;
        take_name(out->subject, certificate, gnutls_x509_crt_get_dn3);
        take_name(out->issuer, certificate, gnutls_x509_crt_get_issuer_dn3);
        out->expires = gnutls_x509_crt_get_expiration_time(certificate);
    }
    gnutls_x509_crt_deinit(certificate);
}

void tls_client_peer_describe(struct tls_client_peer *out, struct tls_client *client)
{
    struct tls_session *session = tls_client_session(client);

    *out = (struct tls_client_peer){ .has_certificate = false };
    if (session == NULL)
        return;
    tls_session_describe(session, NULL, out->session, sizeof out->session);
    unsigned count = 0;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(session->gnutls, &count);
    if (chain != NULL && count > 0)
        take_certificate(out, &chain[0]);
}
