#ifndef NBDCRYPT_TLS_SETTINGS_H
#define NBDCRYPT_TLS_SETTINGS_H

#include <stdbool.h>

/* What the user asked for; strings must outlive what is made of it. */
struct tls_settings {
    const char *mode; /* "off", "on", "require-tcp", "require"; NULL: require as soon as there
                       * are credentials */
    const char *certificates; /* folder of ca-cert.pem, server-cert.pem, server-key.pem and, if it
                               * is there, ca-crl.pem; NULL: none */
    const char *psk;          /* file of user:hex lines; NULL: none */
    const char *priority;     /* of GnuTLS; NULL: ours */
    const char *ktls;         /* "auto", "on", "off"; NULL: auto */
    const char *expired;      /* "end", "keep"; NULL: end */
    bool verify_peer;         /* clients need a certificate: the default, here to be said aloud */
    bool no_verify_peer;      /* they need none */
};

#endif
