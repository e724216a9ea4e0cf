/* One client, on one worker, from accept to close.
 *
 *     HANDSHAKE -> TRANSMISSION -> DRAINING -> CLOSING -> freed
 *         `-> GOODBYE -> CLOSING
 *
 * GOODBYE: the handshake has ended with an answer; what the client still sends is read and
 * forgotten until it closes, for a close with unread bytes would take that answer back.
 * DRAINING: the server is going down or the client said DISC: what is in flight is answered,
 * new requests get ESHUTDOWN, then the stream is finished (drain.h).  CLOSING: waits until nothing
 * of this connection is in flight, then everything is given back.  An error of the client,
 * whatever it is, ends here and nowhere else. */
#ifndef NBDCRYPT_CONNECTION_H
#define NBDCRYPT_CONNECTION_H

#include "server/connection/drain.h"
#include "server/connection/handshake.h"
#include "server/access/peer.h"
#include "server/access/places.h"
#include "server/connection/stall-watch.h"
#include "server/transport/transport.h"

struct worker;
struct export;
struct layer;
struct transmission;

enum connection_state {
    CONNECTION_HANDSHAKE,
    CONNECTION_GOODBYE,
    CONNECTION_TRANSMISSION,
    CONNECTION_DRAINING,
    CONNECTION_CLOSING,
};

struct connection {
    struct worker *worker;
    struct transport *transport;
    enum connection_state state;
    struct peer peer;
    struct place place;
    bool surplus;            /* it is there to be told that there is no place for it */
    struct loop_timer timer; /* handshake limit; later the ticks of DRAINING */
    bool timer_running;
    struct stall_state stall;
    bool cut;                  /* its handshake took too long: what is in flight is coming back */
    bool abandoned;            /* the worker ends without it */
    struct io_event forgotten; /* GOODBYE */
    struct drain_state drain;
    struct handshake *handshake; /* NULL once it has ended */
    struct negotiated negotiated;
    struct export *export;              /* set by GO or EXPORT_NAME */
    struct transmission *transmission;  /* NULL before */
    struct connection *next, *previous; /* of the worker */
};

/* Takes the socket; it is closed when there is no memory. Worker's thread. */
void connection_create(struct worker *worker, int fd, const struct peer *peer,
                       const struct place *place);
/* The same for a client that is one too many: every option is refused with the reason, for a short
 * time and a few options, and no export is attached. */
void connection_turn_away(struct worker *worker, int fd, const struct peer *peer,
                          enum place_result why);
/* Called by handshake.c, once. */
void connection_handshake_done(struct connection *connection, enum handshake_result result);
/* Called by transmission.c when it has ended and nothing of it is in flight. */
void connection_transmission_done(struct connection *connection);
/* The server is going down. */
void connection_shutdown(struct connection *connection);
/* Ends it at once, answered or not. */
void connection_abort(struct connection *connection);

#endif
