/* The control socket: whoever looks after a server asks it what it does, and tells it to change
 * something, by varlink (varlink-message.h); the interface is org.nbdcrypt.varlink.
 *
 * Everything is answered on the main loop, from memory, without a wait for a worker.  Changes that
 * may block are done one at a time on the admin thread.
 *
 * A stranger can do nothing, and little harm: CONTROL_CLIENTS_MAX clients, CONTROL_CLIENTS_OF_USER
 * of one user, and the last CONTROL_CLIENTS_KEPT places are for the user of the server and root;
 * one message each; who begins one has CONTROL_MESSAGE_SECONDS for it. */
#ifndef NBDCRYPT_CONTROL_H
#define NBDCRYPT_CONTROL_H

#include "server/control/control-host.h"

#define CONTROL_CLIENTS_MAX 64u
#define CONTROL_CLIENTS_OF_USER 8u
#define CONTROL_CLIENTS_KEPT 8u
#define CONTROL_MESSAGE_SECONDS 10u
#define CONTROL_STALL_SECONDS 30u /* for replies that nobody takes */

struct control;

NODISCARD int control_create(struct control **out, const struct control_host *host,
                             struct error *err);
/* A client has connected; takes `fd`. */
void control_accept(struct control *control, int fd, const struct peer *peer);
/* What has changed of the host: its rules, whose roles clients have from now on; how TLS is; the
 * level that the log usually has. */
void control_use_rules(struct control *control);
void control_use_tls(struct control *control, const char *mode);
void control_use_log_level(struct control *control, enum log_level level);
/* The server has begun to end: the state is told. */
void control_tell_ending(struct control *control);
/* Lets all clients go; `stopped` follows. */
void control_stop(struct control *control);
/* After `stopped`, or where nobody was accepted, and when no thread tells events any more. */
void control_free(struct control *control);

#endif
