/* A server of GnuTLS at the other end of a socket, for clients of server/client/tls-client.h: on a
 * thread of its own for the handshake, and then, if a test wants that, on the fake loop with a
 * transport of the client.
 *
 * The files of both are made once, in a temporary folder that is removed at the end. */
#ifndef NBDCRYPT_TLS_REMOTE_H
#define NBDCRYPT_TLS_REMOTE_H

#include <pthread.h>

#include <gnutls/gnutls.h>

#include "server/client/tls-client.h"
#include "tests/support/tls-peer.h"

/* Names of the server's certificates, all of the CA in the client's folders but the one of
 * "stranger". */
#define REMOTE_GOOD "good"            /* localhost, *.disks.test, 127.0.0.1, ::1 */
#define REMOTE_EXPIRED "expired"      /* the same */
#define REMOTE_OTHER_HOST "elsewhere" /* elsewhere.test, 192.0.2.7 */
#define REMOTE_FOR_CLIENTS "clients"  /* the same as the good one */
#define REMOTE_STRANGER "stranger"    /* the same as the good one, of another CA */

/* A folder for tls_client_settings: "plain" has ca-cert.pem, "own" a certificate of the client as
 * well, which the server accepts, "foreign" one that it does not, "half" only its certificate,
 * "revoked" a list on which the good server is.  Or a file of pre-shared keys: "psk" with alice's
 * and bob's, "psk-wrong" with another one for alice. */
const char *tls_remote_path(const char *name);

struct tls_remote_settings {
    const char *priority;    /* NULL: what GnuTLS does, with PSK */
    const char *certificate; /* NULL: good */
    bool psk;                /* there are pre-shared keys instead: alice's */
    bool ask, demand;        /* for a certificate of the client */
    bool echo;               /* it gives back what it gets, until the end */
    size_t piece_bytes;      /* it sends no more at once; 0: no bound */
    size_t cut_bytes;        /* after so many of its bytes it closes; 0: never */
};

struct tls_remote {
    struct tls_peer peer; /* after tls_remote_adopt() */
    struct tls_remote_settings settings;
    int fd, server_fd;
    struct channel channel; /* on fd, with a deadline that is far off */
    gnutls_session_t server;
    gnutls_certificate_credentials_t certificates;
    gnutls_psk_server_credentials_t psk;
    gnutls_datum_t ticket_key;
    pthread_t thread;
    int server_result; /* of its handshake: after tls_remote_join() */
    size_t sent_bytes;
    bool joined;
};

void tls_remote_start(struct tls_remote *remote, const struct tls_remote_settings *settings);
/* The client's handshake with it: with the folder "plain" as "localhost", or as alice. */
struct tls_client *tls_remote_connect(struct tls_remote *remote);
/* Waits for the server's thread: its handshake is done, or what it echoes has ended. */
void tls_remote_join(struct tls_remote *remote);
/* Joins, closes and frees, but no client. */
void tls_remote_close(struct tls_remote *remote);

/* The handshake of both, and a transport of the client's; `peer` has the two ends. */
void tls_remote_open(struct tls_remote *remote, const struct tls_remote_settings *settings);
/* The second part of it, for a client that has gone on in the channel. */
void tls_remote_adopt(struct tls_remote *remote, struct tls_client *client);
void tls_remote_end(struct tls_remote *remote);

#endif
