/* The state of a TLS transport, which its files share: tls-stream (what comes and goes),
 * tls-protection (records) and transport-tls (the rest). */
#ifndef NBDCRYPT_TLS_TRANSPORT_H
#define NBDCRYPT_TLS_TRANSPORT_H

#include "server/loop/offload.h"
#include "server/tls/tls-record-keys.h"
#include "server/tls/tls-server-session.h"
#include "server/transport/tls-buffer.h"
#include "server/transport/transport.h"

struct tls;

/* Zeroed: GnuTLS. */
struct tls_protection {
    const struct gcm_ops *gcm;        /* NULL: GnuTLS protects the records */
    struct tls_record_key_pair *keys; /* of the session */

    /* Receiving.  Of an opened record what nobody has taken yet lies where the record was, in what
     * has been received, which begins with it until it is all taken. */
    uint32_t plain_at, plain_bytes, record_bytes;
    bool tickets;                          /* may come: the other end is a server */
    uint8_t message[TLS_KEY_UPDATE_BYTES]; /* of a handshake; of a ticket, its first four bytes */
    uint8_t message_bytes;
    uint32_t ticket_left_bytes; /* to be passed over */
    uint8_t alert;              /* received */
    unsigned idle_records;      /* without data, one after the other */
    struct tls_update_rate updates;

    /* Sending. */
    bool update_due;
    uint32_t records_left, records_per_key; /* until we change our keys */
};

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
    enum transport_receive receiving;
    bool wanted_begun, scrubs;
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
    struct tls_server_session *admission; /* `session` is part of it */
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

#endif
