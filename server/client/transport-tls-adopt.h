/* The byte stream to a server under TLS: the transport of transport-tls.h at the client's end.
 *
 * It begins with a session that is open.  Records are done as the server does them, by
 * tls-protection itself or by GnuTLS, but never by the kernel.  Tickets that a server sends at any
 * time are passed over. */
#ifndef NBDCRYPT_TRANSPORT_TLS_ADOPT_H
#define NBDCRYPT_TRANSPORT_TLS_ADOPT_H

#include "server/transport/tls-buffer.h"
#include "server/client/tls-client.h"
#include "server/transport/transport.h"

/* All must outlive the transport. */
struct transport_tls_adopt_settings {
    struct loop *loop;
    struct tls_buffers *buffers; /* of the loop's thread */
    const char *name;            /* of the server, for messages: "server 192.0.2.1:10809" */
};

/* Takes the connected socket and the client over: close() frees both.  The channel that they went
 * through is at rest, no call on it has failed, and it must not be used any more; what it had
 * received and nobody has taken comes first.  On the loop's thread; recv and send may follow at
 * once.  -ENOMEM, or -EPROTO: TLS has failed in the channel; then they stay the caller's. */
NODISCARD int transport_tls_adopt(struct transport **out, struct tls_client *client, int fd,
                                  const struct transport_tls_adopt_settings *settings,
                                  struct error *err);

/* Nothing is in flight: takes it off its loop and from its buffers, which may end then.  Only
 * transport_tls_rejoin() or close() may follow, on any thread.  What was received stays, unless it
 * is more than a record: a client that has taken all its replies expects no such thing, and the
 * connection is good for nothing then. */
void transport_tls_leave(struct transport *transport);
/* After that: goes on with the same session, on this loop. */
void transport_tls_rejoin(struct transport *transport,
                          const struct transport_tls_adopt_settings *settings);

#endif
