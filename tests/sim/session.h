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
/* Sends a half of it, or takes no more answers, and waits until the server has ended the
 * connection, but so long at most. */
void session_freeze(struct session *session, const struct nbd_request *last, uint64_t patience_ns);
/* Power went at the storage while the server lives on: each client is told at its next FLUSH. */
void sessions_are_owed(void);
/* Their export has gone: what they send after that time is not done any more. */
void sessions_are_told_to_go(uint64_t until_ns);
/* They may not attach it any more, from now on. */
void sessions_are_forbidden(void);
/* One of them waits for an answer to what it has sent before that time. */
bool sessions_wait_since(uint64_t sent_ns);
enum session_end { SESSION_DISC, SESSION_CLOSE, SESSION_RESET };
void session_close(struct session *session, enum session_end how);

#endif
