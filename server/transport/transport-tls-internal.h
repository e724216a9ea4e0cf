/* What the files of the TLS transport share.  Its state is in tls-transport.h. */
#ifndef NBDCRYPT_TRANSPORT_TLS_INTERNAL_H
#define NBDCRYPT_TRANSPORT_TLS_INTERNAL_H

#include "server/transport/tls-protection.h"
#include "server/transport/tls-stream.h"
#include "server/transport/tls-transport.h"

/* One without session and socket.  `buffers` and `name`, which it has in messages, must outlive
 * it. */
NODISCARD int transport_tls_make(struct tls_transport **out, struct loop *loop,
                                 struct tls_buffers *buffers, const char *name, struct error *err);
/* Takes the session over; from now on GnuTLS sees what tls-stream has. */
void transport_tls_take(struct tls_transport *tls, struct tls_session *session);
/* The handshake is done and nothing is in flight: recv and send may follow. */
void transport_tls_open(struct tls_transport *tls);
/* Frees it, but does not close the socket. */
void transport_tls_release(struct tls_transport *tls);

#endif
