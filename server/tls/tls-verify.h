/* Certificates of the other end: whether they are accepted, and whom they name. */
#ifndef NBDCRYPT_TLS_VERIFY_H
#define NBDCRYPT_TLS_VERIFY_H

#include <gnutls/x509.h>

#include "server/base/error.h"
#include "server/access/peer.h"
#include "server/tls/tls-revocation.h"

/* During the handshake: chain to the CA, validity, purpose (TLS client), strength, and revocation
 * by lists that are good today (NULL: there are none).  -1: accepted; else the alert to send, and
 * `why` has a sentence that names the certificate, the reason and what to do. */
int tls_verify_client(gnutls_session_t gnutls, const struct tls_revocation *lists,
                      struct error *why);
/* The same for a server's certificate, which has to name `host`: a DNS name, for which wildcards
 * count (RFC 6125, 6.4), or an IP address. */
int tls_verify_server(gnutls_session_t gnutls, const struct tls_revocation *lists, const char *host,
                      struct error *why);

/* Fills proof, identity, dns_names, uris and certificate of `peer` from the certificate that was
 * accepted. Names with a NUL inside, with control characters, or of more than 4096 bytes, are left
 * out, and so is what comes after the first 256.  -ENOMEM; peer_forget_tls() frees. */
NODISCARD int tls_verify_identity(gnutls_session_t gnutls, struct peer *peer);
/* The same for a certificate, which stays the caller's. */
NODISCARD int tls_verify_names(gnutls_x509_crt_t certificate, struct peer *peer);

#endif
