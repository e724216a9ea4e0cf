/* The handshake: greeting, client flags, the option loop, up to transmission or the end.
 *
 * Order of one conversation:
 *     send greeting -> client flags -> { option header -> payload -> handler -> send reply }*
 * It owns the connection's transport meanwhile (recv_done, send_done) and hands it over. */
#ifndef NBDCRYPT_HANDSHAKE_H
#define NBDCRYPT_HANDSHAKE_H

#include "server/loop/loop.h"

struct conversation;
struct handshake;

/* Options per handshake, and so many more for each export that the client may attach: clients that
 * list a server ask for INFO and the contexts of each (qemu-nbd --list). */
#define HANDSHAKE_OPTIONS_MAX 64u
#define HANDSHAKE_OPTIONS_PER_EXPORT 4u

/* How it ended. */
enum handshake_result {
    HANDSHAKE_TRANSMISSION, /* talk->export is set, the last reply has been sent */
    HANDSHAKE_CLOSE,        /* the last reply, if any, has been sent: close */
    HANDSHAKE_ABORT,        /* drop the connection now */
};

/* Starts the conversation; `ended` fires once with an enum handshake_result, never from within this
 * call.  NULL when there is no memory. */
struct handshake *handshake_start(struct conversation *talk, struct io_event *ended);
/* The server is going down: options are answered ERR_SHUTDOWN from now on. */
void handshake_shutdown(struct handshake *handshake);
/* There is no place for this client: a few options are answered with `sentence`, which stays, and
 * none of them is served. */
void handshake_turn_away(struct handshake *handshake, const char *sentence);
/* After `ended`, or when nothing of the transport is in flight.  Also frees
 * negotiated.context_export, which means nothing afterwards. */
void handshake_free(struct handshake *handshake);

#endif
