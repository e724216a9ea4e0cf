/* What TLS is done with: versions, ciphers, groups and ways to exchange keys, in GnuTLS's words. */
#ifndef NBDCRYPT_TLS_PRIORITY_H
#define NBDCRYPT_TLS_PRIORITY_H

enum tls_priority_use {
    TLS_PRIORITY_SERVER,
    TLS_PRIORITY_CLIENT_CERTIFICATES, /* a client that verifies a certificate */
    TLS_PRIORITY_CLIENT_PSK,          /* one with a pre-shared key */
};

/* For gnutls_priority_init(); static. */
const char *tls_priority(enum tls_priority_use use);

#endif
