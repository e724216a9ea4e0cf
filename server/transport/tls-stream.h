/* The two ends of a session's socket: what has been received and not deciphered, and what is to be
 * sent.  Private to the TLS transport.
 *
 * A buffer is held only while there is something in it or a system call may fill it; `staging`,
 * which an idle connection waits with, is part of the connection and costs memory only once it is
 * used. */
#ifndef NBDCRYPT_TLS_STREAM_H
#define NBDCRYPT_TLS_STREAM_H

#include "server/transport/tls-transport.h"

/* What has been received: bytes[*start..*end), and room up to capacity. */
struct tls_input {
    uint8_t *bytes;
    uint32_t *start, *end, capacity;
};

struct tls_input tls_stream_input(struct tls_transport *tls);
uint32_t tls_stream_input_bytes(struct tls_transport *tls);

/* For GnuTLS, whose transport is a struct tls_transport: from what has been received, into
 * `out`. */
ssize_t tls_stream_pull(gnutls_transport_ptr_t context, void *data, size_t length_bytes);
ssize_t tls_stream_push(gnutls_transport_ptr_t context, const giovec_t *iov, int iov_count);

/* From staging to a buffer, with what is there; large if that may be had.  False: no memory. */
bool tls_stream_enlarge(struct tls_transport *tls, bool large);
/* Wipes what has been taken of it; nothing may be receiving. */
void tls_stream_wipe_taken(struct tls_transport *tls);
/* Starts a receive behind what is there; recv_event fires. */
void tls_stream_receive(struct tls_transport *tls);
/* For recv_event.  True: `result` is that of a receive which brought bytes, or of one that failed;
 * false: it has been repeated. */
bool tls_stream_receive_ended(struct tls_transport *tls, int result);

/* Sends `out`; send_event fires. */
void tls_stream_transmit(struct tls_transport *tls);
/* For send_event.  True when all has been sent, or *result says why it can't be; `out` has been
 * given back then. */
bool tls_stream_transmit_ended(struct tls_transport *tls, int *result);
/* A last word, as far as the socket takes it at once: nobody waits for one that does not read. */
void tls_stream_send_now(struct tls_transport *tls);
void tls_stream_release_out(struct tls_transport *tls);

#endif
