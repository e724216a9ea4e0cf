/* One TLS session, at either end of a connection: what is common to a server's
 * (tls-server-session.h) and a client's (tls-client.h).
 *
 * No I/O here: the owner sets push and pull functions on `gnutls`.  One thread at a time; the
 * handshake may run on another one than the records. */
#ifndef NBDCRYPT_TLS_SESSION_H
#define NBDCRYPT_TLS_SESSION_H

#include <stdbool.h>
#include <stddef.h>

#include <gnutls/gnutls.h>

#include "crypto/secret.h"

#define TLS_REASON_BYTES 640u
#define TLS_DESCRIPTION_BYTES 160u

struct tls_session;

/* Which end it is. */
struct tls_end {
    bool client;       /* it is the client's */
    const char *other; /* who is at the other one, for messages: "client", "server" */
    /* What the other one may have meant by an alert and what to do, to be put behind its name; or
     * "". */
    const char *(*alert_hint)(struct tls_session *session, gnutls_alert_description_t alert);
    void (*free)(struct tls_session *session); /* with what it is part of */
};

struct tls_session {
    gnutls_session_t gnutls; /* its session pointer is this struct, which does not move */
    bool adopted;            /* `gnutls` is somebody else's, who leads the handshake */
    const struct tls_end *end;
    int alert; /* what the other one is told; -1: what GnuTLS takes for the error */
    char reason[TLS_REASON_BYTES]; /* why it failed: a sentence; "" before */

    /* For records of our own: see tls-record-keys.h */
    struct secret *record_keys; /* NULL: none */
    gnutls_keylog_func keylog_before;
};

/* For the end's own set-up, which goes on with credentials: `flags` are GNUTLS_SERVER or
 * GNUTLS_CLIENT. -ENOMEM or -EINVAL; tls_session_clear() frees in every case. */
NODISCARD int tls_session_init(struct tls_session *session, const struct tls_end *end,
                               unsigned flags, struct error *err);
/* The same for a session that somebody else has made, and frees when this one has gone. */
void tls_session_adopt(struct tls_session *session, const struct tls_end *end,
                       gnutls_session_t gnutls);
/* -ENOMEM or -EINVAL, for an error of GnuTLS before the handshake. */
int tls_session_no_start(int error, struct error *err);
/* Frees what is common. */
void tls_session_clear(struct tls_session *session);

/* All of it.  NULL is fine. */
void tls_session_free(struct tls_session *session);

/* Sets the reason; the first one is the one that counts. */
void tls_session_say(struct tls_session *session, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A sentence for an error of GnuTLS that ended the session; static or within `session`.  `alert` is
 * the one received if GnuTLS did not see it, else 0. */
const char *tls_session_explain(struct tls_session *session, int error, int alert);

/* Pushes the alert for an error that ended the handshake, unless the other one ended it. */
void tls_session_send_alert(struct tls_session *session, int error);

/* "TLS1.3, AES-128-GCM (vaes-avx2), SECP256R1" for the log.  `by` is what does the cipher, NULL:
 * GnuTLS, which is not named. */
void tls_session_describe(struct tls_session *session, const char *by, char *text,
                          size_t text_bytes);

#endif
