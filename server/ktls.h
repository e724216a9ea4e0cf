/* Kernel TLS: a socket whose records the kernel makes and opens, once a handshake is done.
 *
 * Data is then sent and received as on a plain socket.  What is not data (alerts, handshake messages)
 * comes with its record type beside it and is for us to deal with.  Source: Linux,
 * Documentation/networking/tls.rst; RFC 8446, 6 and 4.6.3.
 *
 * The keys can't be changed: Linux can do that since 6.14 only, and with TLS 1.3 alone.  A client that
 * changes its own (KeyUpdate) is dropped with a message that says so. */
#ifndef NBDCRYPT_KTLS_H
#define NBDCRYPT_KTLS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include <gnutls/gnutls.h>

#include "server/error.h"
#include "server/peer.h"

struct ktls {
    int fd;                  /* not owned */
    const struct peer *peer; /* `text` names it in messages; must outlive this */
    bool ended;              /* the client said close_notify */
    bool broken;             /* an error: nothing is said any more */
    bool aborted;            /* we have shut the socket down: its end is no news */
    bool said_goodbye;
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(1)]; /* the type of a record */
};

/* Whether this kernel has TLS for sockets (its module "tls" is loaded, or can be loaded by us). */
bool ktls_is_there(void);

/* Gives the keys for sending to the kernel.  Negative: it can't be done with this kernel, socket or
 * cipher; nothing has changed then, and GnuTLS goes on.  After 0 GnuTLS may send nothing. */
NODISCARD int ktls_start_sending(struct ktls *ktls, gnutls_session_t gnutls, int fd,
                                 const struct peer *peer);
/* Those for receiving, when GnuTLS has opened all that was read from the socket, which is whole
 * records.  -errno: the connection is lost, because sending can't be taken back. */
NODISCARD int ktls_start_receiving(struct ktls *ktls, gnutls_session_t gnutls);

/* Adds to a message for recvmsg(2) the place for the record type; each time anew. */
void ktls_prepare(struct ktls *ktls, struct msghdr *message);

/* What recvmsg(2) with that message has brought: a count of bytes of data; 0: the client said that it
 * sends no more; -EAGAIN: nothing, receive again; -ECONNRESET after a reason has been logged, or the
 * socket's -errno.  `may_answer`: no send is in flight, so an alert can be sent. */
int ktls_received(struct ktls *ktls, const struct msghdr *message, int result, bool may_answer);

/* close_notify, once, as far as the socket takes it at once; no send is in flight. */
void ktls_say_goodbye(struct ktls *ktls);

#endif
