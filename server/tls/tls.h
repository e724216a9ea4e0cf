/* What the server does about TLS, for all workers: whether clients may or must use it, and the
 * credentials that are in force, which can be read anew while it runs. */
#ifndef NBDCRYPT_TLS_H
#define NBDCRYPT_TLS_H

#include <pthread.h>
#include <stdatomic.h>

#include "server/loop/offload.h"
#include "server/tls/ktls-ability.h"
#include "server/tls/tls-settings.h"

struct tls_credentials;

/* proto.md, "TLS": NOTLS, SELECTIVETLS, FORCEDTLS for those who come by TCP and SELECTIVETLS for
 * the others, FORCEDTLS. */
enum tls_mode { TLS_OFF, TLS_ON, TLS_REQUIRE_TCP, TLS_REQUIRE };

/* Who makes and opens the records: KTLS_ON is the kernel wherever it can, KTLS_OFF never, and
 * KTLS_AUTO where that is expected to be faster and loses nothing: see tls_prefers_kernel(). */
enum ktls_mode { KTLS_AUTO, KTLS_ON, KTLS_OFF };

struct tls {
    enum tls_mode _Atomic mode;
    enum ktls_mode _Atomic ktls;
    enum ktls_ability kernel;  /* what it can do; not asked with KTLS_OFF */
    unsigned records_per_key;  /* after that many we change our keys (TLS 1.3) */
    atomic_bool keeps_expired; /* clients whose certificate is over meanwhile stay */
    struct tls_settings settings;
    struct offload *offload; /* where handshakes are calculated; NULL: on the asking thread */
    pthread_mutex_t mutex;
    struct tls_credentials *credentials; /* of new sessions; NULL: TLS_OFF */
};

/* The mode that the settings mean.  -EINVAL with a sentence where they contradict each other. */
NODISCARD int tls_mode_of(enum tls_mode *out, const struct tls_settings *settings,
                          struct error *err);

/* "require", as --tls has it. */
const char *tls_mode_name(enum tls_mode mode);

/* Whether a client must use it, which came by a Unix socket (`local`) or not. */
bool tls_is_demanded(enum tls_mode mode, bool local);

/* The same as tls_mode_of() for --ktls. */
NODISCARD int tls_ktls_mode_of(enum ktls_mode *out, const struct tls_settings *settings,
                               struct error *err);

/* Reads the credentials, unless TLS is off; tls_close() frees in every case. */
NODISCARD int tls_open(struct tls *tls, const struct tls_settings *settings, struct error *err);
void tls_close(struct tls *tls);

/* Reads the files again, for new connections.  When they are bad, those that were read before stay
 * in force, and that is the error.  Says in the log which.  One thread at a time; it may take
 * milliseconds, or wait for storage. */
NODISCARD int tls_reload(struct tls *tls, struct error *err);

/* The same with other settings, in two steps: what tls_prepare() gave is either put in force by
 * tls_use(), which can't fail, or given back by tls_forget(); NULL is that there is no TLS.
 * `settings` must stay until others are used. */
NODISCARD int tls_prepare(struct tls_credentials **out, struct tls *tls,
                          const struct tls_settings *settings, struct error *err);
void tls_use(struct tls *tls, const struct tls_settings *settings, struct tls_credentials *fresh);
void tls_forget(struct tls_credentials *fresh);

/* Whether the kernel is to do the records of a session, if it can: docs/performance.md tells
 * why. */
bool tls_prefers_kernel(const struct tls *tls, bool tls13);

/* Any thread: the ones in force, with a reference of the caller's own. */
struct tls_credentials *tls_credentials_now(struct tls *tls);

#endif
