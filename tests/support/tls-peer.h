/* A TLS transport on the fake loop, and a session of GnuTLS at the other end of its socket.  What
 * that one says waits in `outgoing`, where a test may cut or damage it.  tls_peer_open() makes the
 * transport of a server and a client with a pre-shared key; tls-remote.h has the transport of a
 * client and a server. */
#ifndef NBDCRYPT_TLS_PEER_H
#define NBDCRYPT_TLS_PEER_H

#include <gnutls/gnutls.h>

#include "server/transport/tls-protection.h"
#include "server/transport/transport-tls.h"
#include "tests/support/fake-loop.h"
#include "tests/support/fake-pipe.h"

#define TLS_PEER_PENDING 12345 /* no event yet */
#define TLS_PEER_INNER_BYTES 40000u

struct tls_peer {
    struct loop *loop;
    int fd;
    struct tls tls;
    struct tls_buffers buffers;
    struct peer peer;
    struct transport *transport;
    struct io_event handshake_done, recv_done, send_done;
    int handshake_result, recv_result, send_result; /* TLS_PEER_PENDING before the event */
    unsigned events;

    gnutls_session_t other;
    gnutls_psk_client_credentials_t credentials; /* of tls_peer_open() */
    struct pipe_bytes outgoing;
};

/* Both ends, before the handshake; `priority` is the client's, NULL: TLS 1.3. */
void tls_peer_open(struct tls_peer *peer, const char *priority);
/* Moves bytes to and fro until the handshake is done at both ends, at most `piece_bytes` at a time
 * towards the server. */
void tls_peer_handshake(struct tls_peer *peer, size_t piece_bytes);
/* tls_peer_open() and tls_peer_handshake(). */
void tls_peer_connect(struct tls_peer *peer, const char *priority);
/* Breaks what is left and frees; nothing may be in flight then, and no buffer held. */
void tls_peer_close(struct tls_peer *peer);

/* For who makes `transport`, on `loop` and the fake socket `fd`, and `other`: joins the two. */
void tls_peer_attach(struct tls_peer *peer);
/* tls_peer_close() for what tls_peer_attach() needs. */
void tls_peer_detach(struct tls_peer *peer);

/* Puts at most that much of `outgoing` on the wire; how much. */
size_t tls_peer_feed(struct tls_peer *peer, size_t length_bytes);
/* The other end enciphers. */
void tls_peer_say(struct tls_peer *peer, const void *data, size_t length_bytes);
/* How the transport protects records: with GnuTLS unless `gcm` is set. */
struct tls_protection *tls_peer_protection(struct tls_peer *peer);
/* Puts a record on the wire that has any content, type and padding (RFC 8446, 5.2:
 * TLSInnerPlaintext), at most TLS_PEER_INNER_BYTES, under the keys of the other end; GnuTLS does
 * not know of it there. */
void tls_peer_forge(struct tls_peer *peer, struct tls_record_keys *keys, const void *inner,
                    size_t inner_bytes);
/* The transport is to receive: the result if it is there at once, else TLS_PEER_PENDING. */
int tls_peer_ask(struct tls_peer *peer, void *data, uint32_t length_bytes);
/* The transport receives what the other end has said, all of it on its way. */
void tls_peer_expect_received(struct tls_peer *peer, const uint8_t *expected,
                              uint32_t length_bytes);
/* The transport sends all of it, while the other end takes it and compares. */
void tls_peer_expect_sent(struct tls_peer *peer, struct iovec *iov, unsigned iov_count);
/* What the other end deciphers of what has come: bytes, 0 at close_notify, or an error of
 * GnuTLS. */
ssize_t tls_peer_hear(struct tls_peer *peer, void *data, size_t length_bytes);

#endif
