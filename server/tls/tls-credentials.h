/* What the server proves itself with, and what it wants of clients: certificates and pre-shared
 * keys, read and checked as a whole.  They never change afterwards; a new reading makes new ones,
 * and sessions keep those that they began with.  Sources: RFC 5280; RFC 4279 and RFC 8446 for
 * pre-shared keys; GnuTLS's manual for the files. */
#ifndef NBDCRYPT_TLS_CREDENTIALS_H
#define NBDCRYPT_TLS_CREDENTIALS_H

#include <stdatomic.h>
#include <stdbool.h>

#include <gnutls/gnutls.h>

#include "server/base/error.h"
#include "server/tls/psk-file.h"
#include "server/tls/tls-revocation.h"
#include "server/tls/tls-settings.h"

struct tls_credentials {
    atomic_uint references;
    gnutls_priority_t priority;
    gnutls_certificate_credentials_t certificates; /* NULL: none */
    struct tls_revocation *revocation;             /* NULL: no lists */
    gnutls_psk_server_credentials_t psk;           /* NULL: none */
    struct psk_file *keys;
    bool verify_peer;
};

/* A gnutls_psk_server_credentials_function2: finds the key of an identity, when a session asks. */
typedef int tls_find_psk_fn(gnutls_session_t gnutls, const gnutls_datum_t *identity,
                            gnutls_datum_t *key);

/* Reads and checks everything.  -EINVAL and the like with a sentence that names the file, what is
 * wrong with it and what to do; what is merely doubtful is logged as a warning.  `before` is what
 * these are to replace, or NULL: a list of revoked certificates that it has may not just be
 * gone. */
NODISCARD int tls_credentials_create(struct tls_credentials **out,
                                     const struct tls_settings *settings, tls_find_psk_fn *find_psk,
                                     const struct tls_credentials *before, struct error *err);
/* Any thread; frees with the last one.  NULL is fine. */
void tls_credentials_unref(struct tls_credentials *credentials);

#endif
