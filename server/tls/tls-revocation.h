/* How long lists of revoked certificates are good for.
 *
 * GnuTLS looks for a certificate in the lists that it was given, and not at the days of these.  A
 * list that is over may lack a revocation, so it must not let anybody in: each handshake compares
 * its days with the clock. Source: RFC 5280, 5.1.2.4, 5.1.2.5 and 6.3. */
#ifndef NBDCRYPT_TLS_REVOCATION_H
#define NBDCRYPT_TLS_REVOCATION_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include <gnutls/x509.h>

#include "server/base/error.h"

/* The days of some lists; does not change, so any thread may read it. */
struct tls_revocation;
struct peer_certificate;

/* From the lists of a file (PEM), whose `path` is for messages.  A list that is no good now is
 * worth a warning, for it can be replaced while the program runs; `others` are those who are
 * refused then. -EINVAL, -ENOMEM. */
NODISCARD int tls_revocation_read(struct tls_revocation **out, const gnutls_datum_t *pem,
                                  const char *path, const char *others, struct error *err);
/* When the first of them is over, seconds since 1970; 0: never.  NULL is fine. */
time_t tls_revocation_end(const struct tls_revocation *lists);
/* NULL is fine. */
void tls_revocation_free(struct tls_revocation *lists);

/* Of the certificates that the other end has shown, which were found good otherwise.  0: each of
 * their authorities has a list that is good now, or none at all.  Else what is wrong with the lists
 * of one: GNUTLS_CERT_REVOCATION_DATA_SUPERSEDED or GNUTLS_CERT_REVOCATION_DATA_ISSUED_IN_FUTURE;
 * or GNUTLS_CERT_INVALID: that can't be told.  `lists` may be NULL. */
unsigned tls_revocation_status(const struct tls_revocation *lists, gnutls_session_t gnutls,
                               time_t now);

/* A number for an authority, from its distinguished name as it is encoded. */
uint64_t tls_revocation_issuer(const gnutls_datum_t *name);
/* Whether a list has that certificate, whatever its days are.  `lists` may be NULL. */
bool tls_revocation_has(const struct tls_revocation *lists,
                        const struct peer_certificate *certificate);

#endif
