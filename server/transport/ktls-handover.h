/* From GnuTLS, which has done the handshake, to kernel TLS. */
#ifndef NBDCRYPT_KTLS_HANDOVER_H
#define NBDCRYPT_KTLS_HANDOVER_H

#include "server/access/peer.h"
#include "server/tls/tls.h"
#include "server/transport/transport.h"

struct tls_session;

/* Makes a transport that goes on where the session is; nothing is in flight, and what GnuTLS can
 * still pull is whole records, at most TRANSPORT_STAGING_BYTES, which are opened here.  `file` is
 * the transport's when there is one.  0 without one: the kernel can't, and GnuTLS goes on.
 * -ECONNRESET: the connection is lost. */
NODISCARD int ktls_handover(struct transport **out, struct tls_session *session,
                            const struct tls *tls, struct loop *loop, const struct loop_file *file,
                            const struct peer *peer, struct error *err);

#endif
