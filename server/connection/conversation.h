/* What the phases of one client's connection have in common: who it is, the way to it, and what was
 * agreed on.  The handshake changes it, transmission reads it; it is a part of the connection. */
#ifndef NBDCRYPT_CONVERSATION_H
#define NBDCRYPT_CONVERSATION_H

#include "server/access/peer.h"
#include "server/access/places.h"
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

#endif
