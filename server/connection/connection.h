/* One client, on one worker, from accept to close.
 *
 *     HANDSHAKE -> TRANSMISSION -> DRAINING -> CLOSING -> freed
 *         `----------> GOODBYE ---------------^
 *
 * GOODBYE: the handshake has ended with an answer, or transmission with answers that the client
 * has not taken yet; what the client still sends is read and forgotten until it closes, or for a
 * moment, for a close with unread bytes would take those answers back. DRAINING: the server is
 * going down or the client said DISC: what is in flight is answered, new requests are not heard,
 * then the stream is finished (drain.h).  CLOSING: waits until nothing of this connection is in
 * flight, then everything is given back.  An error of the client, whatever it is, ends here and
 * nowhere else. */
#ifndef NBDCRYPT_CONNECTION_H
#define NBDCRYPT_CONNECTION_H

#include "server/connection/conversation.h"
#include "server/connection/drain.h"
#include "server/connection/stall.h"

struct handshake;
struct transmission;

enum connection_state {
    CONNECTION_HANDSHAKE,
    CONNECTION_GOODBYE,
    CONNECTION_TRANSMISSION,
    CONNECTION_DRAINING,
    CONNECTION_CLOSING,
};

struct connection {
    struct conversation talk;
    enum connection_state state;
    bool surplus;            /* it is there to be told that there is no place for it */
    struct loop_timer timer; /* handshake limit; later the ticks of DRAINING */
    bool timer_running;
    struct stall_state stall;
    bool cut;                  /* its handshake took too long: what is in flight is coming back */
    bool told_to_go;           /* connection_shutdown() was called */
    bool abandoned;            /* the worker ends without it */
    bool scrubs;               /* when it ends, what it leaves in buffers is wiped */
    struct io_event forgotten; /* GOODBYE */
    struct drain_state drain;
    struct handshake *handshake;       /* NULL once it has ended */
    struct transmission *transmission; /* NULL before */
    struct io_event handshake_ended, transmission_ended;
    struct connection *next, *previous; /* of the worker */
};

/* Takes the socket; it is closed when there is no memory. Worker's thread. */
void connection_create(struct worker *worker, int fd, const struct peer *peer,
                       const struct place *place);
/* The same for a client that is one too many: every option is refused with the reason, for a short
 * time and a few options, and no export is attached. */
void connection_turn_away(struct worker *worker, int fd, const struct peer *peer,
                          enum place_result why);
/* The server is going down. */
void connection_shutdown(struct connection *connection);

#endif
