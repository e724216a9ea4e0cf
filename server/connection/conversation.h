/* What the phases of one client's connection have in common: who it is, the way to it, and what was
 * agreed on.  The handshake changes it, transmission reads it; it is a part of the connection. */
#ifndef NBDCRYPT_CONVERSATION_H
#define NBDCRYPT_CONVERSATION_H

#include "server/access/peer.h"
#include "server/access/places.h"
#include "server/base/event.h"
#include "server/base/log.h"
#include "server/connection/negotiated.h"
#include "server/transport/transport.h"

struct board_connection_row;
struct worker;
struct export;

struct conversation {
    struct worker *worker;
    struct board_connection_row *row; /* on the board */
    struct transport *transport;      /* STARTTLS puts another one in its place */
    struct peer peer;
    struct place place;
    struct negotiated negotiated;
    struct export *export; /* set by GO or EXPORT_NAME */
};

/* What a line of the log about this client is about; `id` of log-ids.h, or NULL. */
struct log_about conversation_about(const struct conversation *talk, const char *id);
/* An event of this client; `reason` may be NULL. */
void conversation_event(const struct conversation *talk, const char *type, const char *reason);
/* The same about another export than that which it has attached. */
void conversation_event_of(const struct conversation *talk, const char *type, const char *export,
                           const char *reason);
/* As log_write_of() does. */
#define conversation_log(talk, level, ...) conversation_tell(talk, level, NULL, __VA_ARGS__)
#define conversation_tell(talk, level, id, ...) \
    log_write_about(level, conversation_about(talk, id), __VA_ARGS__)

#endif
