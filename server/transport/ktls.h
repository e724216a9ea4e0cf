/* Kernel TLS: a socket whose records the kernel makes and opens, once a handshake is done.
 *
 * Data is then sent and received as on a plain socket.  What is not data (alerts, handshake
 * messages) comes with its record type beside it and is for us to deal with.  Source: Linux,
 * Documentation/networking/tls.rst; RFC 8446, 6 and 4.6.3.
 *
 * Under TLS 1.3 either side may change its keys (KeyUpdate), and we do after so many records. Linux
 * can do that since 6.14.  Where it can't, a client that changes its own is dropped, and each when
 * our keys have served long enough, with a message that says so. */
#ifndef NBDCRYPT_KTLS_H
#define NBDCRYPT_KTLS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include <gnutls/gnutls.h>

#include "server/base/error.h"
#include "server/tls/ktls-keys.h"
#include "server/access/peer.h"
#include "server/tls/tls.h"

struct tls_session;

/* A short record that is not data, for sendmsg(2); must not be moved. */
struct ktls_record {
    struct msghdr message;
    struct iovec iov;
    uint8_t bytes[TLS_KEY_UPDATE_BYTES];
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(1)];
};

struct ktls {
    int fd;                  /* not owned */
    const struct peer *peer; /* `text` names it in messages; must outlive this */
    bool ended;              /* the client said close_notify */
    bool broken;             /* an error: nothing is said any more */
    bool aborted;            /* we have shut the socket down: its end is no news */
    bool said_goodbye;
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(1)]; /* the type of a record */

    bool tls13;
    struct secret *secrets;                 /* NULL: the keys can't be changed */
    struct tls_record_key_pair *keys;       /* in it */
    struct tls_update_rate updates;         /* of the client */
    bool update_due;                        /* it has asked for ours */
    uint32_t records_left, records_per_key; /* until we change ours */
    struct ktls_record update;
};

/* Gives the keys for sending to the kernel.  Negative: it can't be done with this kernel, socket or
 * cipher; nothing has changed then, and GnuTLS goes on.  After 0 GnuTLS may send nothing. */
NODISCARD int ktls_start_sending(struct ktls *ktls, gnutls_session_t gnutls, int fd,
                                 const struct peer *peer);
/* Those for receiving, when GnuTLS has opened all that was read from the socket, which is whole
 * records.  -errno: the connection is lost, because sending can't be taken back. */
NODISCARD int ktls_start_receiving(struct ktls *ktls, gnutls_session_t gnutls);

/* After both: from now on keys are changed, if kernel and session allow it; takes
 * session->record_keys then. */
void ktls_follow_keys(struct ktls *ktls, struct tls_session *session, const struct tls *tls);
void ktls_free(struct ktls *ktls); /* NULL is fine */

/* Adds to a message for recvmsg(2) the place for the record type; each time anew. */
void ktls_prepare(struct ktls *ktls, struct msghdr *message);

/* What recvmsg(2) with that message has brought: a count of bytes of data; 0: the client said that
 * it sends no more; -EAGAIN: nothing, receive again; -ECONNRESET after a reason has been logged, or
 * the socket's -errno.  `may_answer`: no send is in flight, so an alert can be sent. */
int ktls_received(struct ktls *ktls, const struct msghdr *message, int result, bool may_answer);

/* What has to be sent before data, when none is in flight; NULL: nothing.  When the keys may serve
 * no longer and can't be changed, the session is over: the send of the data will fail. */
struct msghdr *ktls_before_send(struct ktls *ktls);
/* It has been sent, with this result of sendmsg(2): 0, or -errno: the session is broken. */
int ktls_update_sent(struct ktls *ktls, int result);
/* So many bytes of data have been. */
void ktls_sent(struct ktls *ktls, uint32_t count);

/* close_notify, once, as far as the socket takes it at once; no send is in flight. */
void ktls_say_goodbye(struct ktls *ktls);

#endif
