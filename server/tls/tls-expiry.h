/* Until when the certificates are good that are in force. */
#ifndef NBDCRYPT_TLS_EXPIRY_H
#define NBDCRYPT_TLS_EXPIRY_H

#include <time.h>

struct tls;

/* Seconds since 1970; 0: there is none. */
struct tls_expiry {
    time_t server; /* the one that is over first, of its own and those above it in the file */
    time_t crl;    /* the list of revoked certificates: nobody gets in after it */
    time_t ca;     /* the one that is over first, of those that clients are measured by */
};

/* Any thread. */
void tls_expiry_of(struct tls_expiry *out, struct tls *tls);

#endif
