/* One connection of a client: the handshake, and the commands that are in flight on it. */
#ifndef NBDCRYPT_SIM_SESSION_H
#define NBDCRYPT_SIM_SESSION_H

#include "tests/sim/session-state.h"

/* False: the server went away meanwhile. */
bool session_open(struct session *session, unsigned client, bool structured);
/* Waits while so many are in flight; false: the connection is broken. */
bool session_wait(struct session *session, unsigned in_flight);
/* Sends it; `request` without its cookie.  False: the connection is broken. */
bool session_send(struct session *session, const struct nbd_request *request);
/* Power went at the storage while the server lives on: each client is told at its next FLUSH. */
void sessions_are_owed(void);
enum session_end { SESSION_DISC, SESSION_CLOSE, SESSION_RESET };
void session_close(struct session *session, enum session_end how);

#endif
