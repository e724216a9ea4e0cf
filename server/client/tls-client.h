/* A TLS session at the client's end: how it is set up, its handshake with a server, through a
 * channel, and what goes through that afterwards.  When the channel has done its part, a transport
 * goes on with the session: transport-tls-adopt.h.
 *
 * The server is always verified.  TLS 1.3 and 1.2; kernel TLS is not used at this end.  Sources:
 * RFC 8446, RFC 5246, RFC 6125; proto.md, "TLS versions". */
#ifndef NBDCRYPT_TLS_CLIENT_H
#define NBDCRYPT_TLS_CLIENT_H

#include <stdbool.h>

#include "server/client/channel.h"
#include "server/client/tls-client-settings.h"

struct tls_session;

struct tls_client;

/* Reads the files, and does the handshake through the channel, on which STARTTLS has been answered
 * and nothing else received.  It is under TLS afterwards: channel_send() and channel_receive() go
 * through the client, which is the caller's to free, before the channel's socket is closed.
 *
 * -EINVAL, -ENOENT and the like: a setting or a file; -EPROTO: the server was not accepted, or did
 * not accept us, or does not speak TLS; -ECONNRESET and other errors of the socket: the connection
 * is lost; -ETIMEDOUT, -ECANCELED as of the channel.  The message is a sentence that says what was
 * wrong and what to do.  Then the channel is as before, but the connection is good for nothing. */
NODISCARD int tls_client_handshake(struct tls_client **out, struct channel *channel,
                                   const struct tls_client_settings *settings, struct error *err);

/* Says good-bye (close_notify) unless the connection is lost, as far as the socket takes it at
 * once, and frees.  The channel must not be used any more.  NULL is fine. */
void tls_client_free(struct tls_client *client);

/* Puts the channel, with the same socket as the one of the handshake, under its protection. */
void tls_client_channel(struct tls_client *client, struct channel *channel);

/* Frees without a good-bye: somebody else goes on with the session. */
void tls_client_leave(struct tls_client *client);

/* For the transport that goes on, while the channel is at rest: its session, which stays the
 * client's. NULL: it can't go on, as TLS has failed, or has something left to be sent. */
struct tls_session *tls_client_session(struct tls_client *client);
/* GnuTLS has nothing that was received and not taken: neither data nor a part of a record or
 * message. */
bool tls_client_is_between_records(const struct tls_client *client);

#endif
