/* The byte stream to a client under TLS.
 *
 *     ciphertext: loop_recvmsg -> buffer -> [protection] -> the address that recv was given
 *                 iov of send -> [protection] -> records in a buffer -> loop_sendmsg
 *
 * GnuTLS sees memory only and never waits.  The handshake is calculated by the offload pool, on
 * bytes that have arrived; records are done on the worker, by GnuTLS or by tls-protection itself.
 * It differs from the plain stream in one point: the client must say that it closes (close_notify);
 * an end without that is -ECONNRESET, because anybody on the way could have made it. */
#ifndef NBDCRYPT_TRANSPORT_TLS_H
#define NBDCRYPT_TRANSPORT_TLS_H

#include "server/access/peer.h"
#include "server/transport/tls-buffer.h"
#include "server/tls/tls.h"
#include "server/transport/transport.h"

struct transport_tls_settings {
    struct loop *loop;
    struct tls *tls;             /* must outlive the transport, as the two below */
    struct tls_buffers *buffers; /* of the worker */
    struct peer *peer;           /* `text` names it in messages; what TLS proves is put there */
};

NODISCARD int transport_tls_create(struct transport **out,
                                   const struct transport_tls_settings *settings,
                                   struct error *err);

/* Takes the connected socket, of which nothing has been read that belongs to TLS, and does the
 * handshake: once, before the first recv or send.  `done` fires later: 0, and `peer` tells who it
 * is; or -errno, after the reason has been logged and the client has been sent an alert: then
 * nothing but close may follow.  The transport's abort ends it soon. */
void transport_tls_handshake(struct transport *transport, const struct loop_file *file,
                             struct io_event *done);

/* After a handshake that succeeded: the transport to go on with.  It is the same one, or, when the
 * kernel has the keys now, another one in its place, with its events. */
struct transport *transport_tls_settle(struct transport *transport);

#endif
