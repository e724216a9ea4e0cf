#include "server/tls/tls-expiry.h"

#include <gnutls/x509.h>

#include "server/tls/tls-credentials.h"
#include "server/tls/tls.h"

static time_t sooner(time_t a, gnutls_x509_crt_t certificate)
{
    time_t b = gnutls_x509_crt_get_expiration_time(certificate);

    return a == 0 || (b != (time_t)-1 && b < a) ? b : a;
}

static time_t of_server(gnutls_certificate_credentials_t credentials)
{
    gnutls_x509_crt_t *chain;
    unsigned count;
    time_t first = 0;

    if (gnutls_certificate_get_x509_crt(credentials, 0, &chain, &count) < 0)
        return 0;
    for (unsigned i = 0; i < count; i++) {
        first = sooner(first, chain[i]);
        gnutls_x509_crt_deinit(chain[i]);
    }
    gnutls_free(chain);
    return first;
}

static time_t of_authorities(gnutls_certificate_credentials_t credentials)
{
    gnutls_x509_trust_list_t list;
    gnutls_x509_trust_list_iter_t at = NULL;
    gnutls_x509_crt_t authority;
    time_t first = 0;

    gnutls_certificate_get_trust_list(credentials, &list);
    while (gnutls_x509_trust_list_iter_get_ca(list, &at, &authority) >= 0) {
        first = sooner(first, authority);
        gnutls_x509_crt_deinit(authority);
    }
    return first;
}

void tls_expiry_of(struct tls_expiry *out, struct tls *tls)
{
    struct tls_credentials *credentials = tls_credentials_now(tls);

    *out = (struct tls_expiry){ 0 };
    if (credentials != NULL && credentials->certificates != NULL) {
        out->server = of_server(credentials->certificates);
        out->crl = tls_revocation_end(credentials->revocation);
        out->ca = of_authorities(credentials->certificates);
    }
    tls_credentials_unref(credentials);
}
