/* Certificates of a folder (PEM), read and checked before GnuTLS gets them: one's own with its key,
 * those of the authorities that others are measured by, and what these have revoked.
 *
 * Errors are sentences that name the file, what is wrong with it and what to do (-EINVAL and the
 * like); what is merely doubtful is logged as a warning.  Source: RFC 5280. */
#ifndef NBDCRYPT_TLS_CERTIFICATES_H
#define NBDCRYPT_TLS_CERTIFICATES_H

#include <stdbool.h>
#include <time.h>

#include <gnutls/gnutls.h>

#include "server/base/error.h"
#include "server/tls/tls-revocation.h"

/* Whose certificate is one's own. */
struct tls_certificates_owner {
    const char *certificate, *key; /* names of files */
    const char *purpose_oid;       /* extended key usage */
    const char *owners, *others;   /* for messages: such a one, and those at the other end */
};

extern const struct tls_certificates_owner tls_certificates_of_server, tls_certificates_of_client;

bool tls_certificates_has(const char *directory, const char *name);

/* The owner's chain and key. */
NODISCARD int tls_certificates_load_pair(gnutls_certificate_credentials_t target,
                                         const char *directory,
                                         const struct tls_certificates_owner *owner,
                                         struct error *err);
/* ca-cert.pem. */
NODISCARD int tls_certificates_load_trust(gnutls_certificate_credentials_t target,
                                          const char *directory, struct error *err);
/* ca-crl.pem, if it is there, after the trust; *lists, the caller's to free, is NULL without. */
NODISCARD int tls_certificates_load_crl(gnutls_certificate_credentials_t target,
                                        const char *directory,
                                        const struct tls_certificates_owner *owner,
                                        struct tls_revocation **lists, struct error *err);

#endif
