/* What a client proves itself with, and what it measures servers by.  Part of tls-client. */
#ifndef NBDCRYPT_TLS_CLIENT_CREDENTIALS_H
#define NBDCRYPT_TLS_CLIENT_CREDENTIALS_H

#include <stdbool.h>

#include <gnutls/gnutls.h>

#include "server/base/error.h"
#include "server/client/tls-client-settings.h"
#include "server/tls/tls-revocation.h"

/* Zeroed: none. */
struct tls_client_credentials {
    gnutls_certificate_credentials_t certificates; /* NULL: none */
    struct tls_revocation *revocation;             /* NULL: no lists */
    bool own_certificate;                          /* there is one to be shown to servers */
    gnutls_psk_client_credentials_t psk;           /* NULL: none */
    char *user;                                    /* of the PSK */
};

/* Checks the settings and reads the files.  -EINVAL and the like with a sentence; _free() frees in
 * every case. */
NODISCARD int tls_client_credentials_read(struct tls_client_credentials *credentials,
                                          const struct tls_client_settings *settings,
                                          struct error *err);
void tls_client_credentials_free(struct tls_client_credentials *credentials);

/* Sets the session up with them; it must not outlive them.  0 or an error of GnuTLS. */
NODISCARD int tls_client_credentials_use(struct tls_client_credentials *credentials,
                                         gnutls_session_t gnutls, const char *host);

#endif
