/* The two ends of a session's socket: what has been received and not deciphered, and what is to be
 * sent. Private to the TLS transport, whose state is here.
 *
 * A buffer is held only while there is something in it or a system call may fill it; `staging`,
 * which an idle connection waits with, is part of the connection and costs memory only once it is
 * used. */
#ifndef NBDCRYPT_TLS_STREAM_H
#define NBDCRYPT_TLS_STREAM_H

#include "server/loop/offload.h"
#include "server/transport/tls-buffer.h"
#include "server/transport/tls-protection.h"
#include "server/tls/tls-server-session.h"
#include "server/transport/transport.h"

struct tls;

struct tls_transport {
    struct transport transport;
    struct loop_file file;
    struct tls_session *session;
    struct tls_protection protection; /* of records, once the session is open */
    struct tls_buffers *buffers;
    const char *name; /* for messages */
    bool open;        /* the handshake is done */
    bool broken;      /* an error: nothing may be read or said any more */
    bool ended;       /* the other end said that it sends no more */
    bool said_goodbye, aborted;

    /* Receiving. */
    struct io_event recv_event;
    struct msghdr recv_message;
    struct iovec recv_iov;
    struct tls_buffer *in; /* a large one, or NULL: staging */
    uint32_t staged_start, staged_end;
    uint8_t *wanted;
    uint32_t wanted_bytes;
    uint32_t
        silent_bytes; /* received since there was data: GnuTLS gathers messages of up to 16 MiB */
    bool receiving, wanted_begun;
    struct loop_task recv_report;
    int recv_result;

    /* Sending. */
    struct io_event send_event;
    struct msghdr send_message;
    struct iovec send_iov;
    struct tls_buffer *out;
    int taken_bytes; /* of the owner's plaintext, in `out` */
    bool sending;
    struct loop_task send_report;

    /* The handshake of a server. */
    struct tls *tls;
    struct tls_admission *admission; /* `session` is part of it */
    struct peer *peer;
    bool answered;            /* something of ours has been sent */
    atomic_bool given_up;     /* nobody waits for the job any more */
    uint32_t handshake_bytes; /* received so far */
    struct offload_job job;
    struct io_event *handshake_done;
    uint32_t usable_bytes; /* of what was received: whole records */
    uint32_t
        record_left_bytes; /* of one that is longer than the staging buffer: not received yet */
    struct transport *successor; /* on kernel TLS; NULL: this one goes on */

    uint8_t staging[TRANSPORT_STAGING_BYTES];
};

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
