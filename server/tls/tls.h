/* What the server does about TLS, for all workers: whether clients may or must use it, and the
 * credentials that are in force, which can be read anew while it runs. */
#ifndef NBDCRYPT_TLS_H
#define NBDCRYPT_TLS_H

#include <pthread.h>

#include "server/loop/offload.h"

struct tls_credentials;

/* proto.md, "TLS": NOTLS, SELECTIVETLS, FORCEDTLS for those who come by TCP and SELECTIVETLS for
 * the others, FORCEDTLS. */
enum tls_mode { TLS_OFF, TLS_ON, TLS_REQUIRE_TCP, TLS_REQUIRE };

/* Who makes and opens the records: KTLS_ON is the kernel wherever it can, KTLS_OFF never, and
 * KTLS_AUTO where that is expected to be faster and loses nothing: see tls_prefers_kernel(). */
enum ktls_mode { KTLS_AUTO, KTLS_ON, KTLS_OFF };

/* What the kernel of this machine does for a TCP socket. */
enum ktls_ability {
    KTLS_ABSENT,      /* nothing: its module "tls" is not loaded, and we can't load it */
    KTLS_KEYS_FIXED,  /* AES-GCM, with the keys it was given at first */
    KTLS_KEYS_CHANGE, /* it takes new ones under TLS 1.3: Linux 6.14 and later */
};

/* What the user asked for; strings must outlive what is made of it. */
struct tls_settings {
    const char *mode; /* "off", "on", "require-tcp", "require"; NULL: require as soon as there
                       * are credentials */
    const char *certificates; /* folder of ca-cert.pem, server-cert.pem, server-key.pem and, if it
                               * is there, ca-crl.pem; NULL: none */
    const char *psk;          /* file of user:hex lines; NULL: none */
    const char *priority;     /* of GnuTLS; NULL: ours */
    const char *ktls;         /* "auto", "on", "off"; NULL: auto */
    bool verify_peer;         /* clients need a certificate: the default, here to be said aloud */
    bool no_verify_peer;      /* they need none */
};

struct tls {
    enum tls_mode mode;
    enum ktls_mode ktls;
    enum ktls_ability kernel; /* what it can do; not asked with KTLS_OFF */
    unsigned records_per_key; /* after that many we change our keys (TLS 1.3) */
    struct tls_settings settings;
    struct offload *offload; /* where handshakes are calculated; NULL: on the asking thread */
    pthread_mutex_t mutex;
    struct tls_credentials *credentials; /* of new sessions; NULL: TLS_OFF */
};

/* The mode that the settings mean.  -EINVAL with a sentence where they contradict each other. */
NODISCARD int tls_mode_of(enum tls_mode *out, const struct tls_settings *settings,
                          struct error *err);

/* Whether a client must use it, which came by a Unix socket (`local`) or not. */
bool tls_is_demanded(enum tls_mode mode, bool local);

/* The same as tls_mode_of() for --ktls. */
NODISCARD int tls_ktls_mode_of(enum ktls_mode *out, const struct tls_settings *settings,
                               struct error *err);

/* Reads the credentials, unless TLS is off; tls_close() frees in every case. */
NODISCARD int tls_open(struct tls *tls, const struct tls_settings *settings, struct error *err);
void tls_close(struct tls *tls);

/* Reads the files again, for new connections.  When they are bad, those that were read before stay
 * in force.  Says in the log which.  Main thread; it may take milliseconds. */
void tls_reload(struct tls *tls);

/* Whether the kernel is to do the records of a session, if it can: docs/performance.md tells
 * why. */
bool tls_prefers_kernel(const struct tls *tls, bool tls13);

/* Any thread: the ones in force, with a reference of the caller's own. */
struct tls_credentials *tls_credentials_now(struct tls *tls);

#endif
