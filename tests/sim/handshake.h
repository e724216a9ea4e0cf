/* What a client says until it has attached the disk: well-behaved, or curious and rude on the way.
 */
#ifndef NBDCRYPT_SIM_HANDSHAKE_H
#define NBDCRYPT_SIM_HANDSHAKE_H

#include "tests/sim/session-state.h"

/* False: it was refused, or the connection is gone. */
bool handshake(struct session *session);
/* The disk is not there, or was not for a while. */
bool handshake_may_fail(const struct session *session);
/* The connection is gone: the end of the server, and the client's own, are all that it may be. */
void handshake_check_end(const struct session *session);

#endif
