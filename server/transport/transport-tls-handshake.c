/* The server's handshake, in order:
 *
 *     receive -> whole records? -> calculate (offload) -> send -> receive ...
 *
 * and then the session is open, or the kernel goes on with it. */
#include "crypto/gcm/gcm-choose.h"
#include "server/transport/transport-tls.h"

#include <errno.h>
#include <sys/socket.h>

#include "server/base/event.h"
#include "server/base/log-ids.h"
#include "server/base/log.h"
#include "server/base/tally.h"
#include "server/transport/ktls-handover.h"
#include "server/tls/tls-limits.h"
#include "server/transport/tls-record-scan.h"
#include "server/transport/transport-tls-internal.h"

int transport_tls_create(struct transport **out, const struct transport_tls_settings *settings,
                         struct error *err)
{
    struct tls_transport *tls;
    int result =
        transport_tls_make(&tls, settings->loop, settings->buffers, settings->peer->text, err);

    if (result < 0)
        return result;
    result = tls_server_session_create(&tls->admission, tls_credentials_now(settings->tls), err);
    if (result < 0) {
        transport_tls_release(tls);
        return result;
    }
    transport_tls_take(tls, &tls->admission->session);
    tls->tls = settings->tls;
    tls->peer = settings->peer;
    if (gcm_choose() != NULL || tls_prefers_kernel(tls->tls, true))
        tls_record_keys_watch(tls->session);
    *out = &tls->transport;
    return 0;
}

/* In order of execution. */
static void handshake_receive(struct tls_transport *tls);
static void handshake_received(struct io_event *ev, int result);
static void calculate(struct offload_job *job);
static void calculated(struct io_event *ev, int result);
static void handshake_sent(struct io_event *ev, int result);
static void handshake_next(struct tls_transport *tls);
static void refuse(struct tls_transport *tls);
static void forget(struct tls_transport *tls);
static void forgotten(struct io_event *ev, int result);
static void handshake_ended(struct tls_transport *tls, int code);

void transport_tls_handshake(struct transport *transport, const struct loop_file *file,
                             struct io_event *done)
{
    struct tls_transport *tls = container_of(transport, struct tls_transport, transport);

    tls->file = *file;
    tls->handshake_done = done;
    tls->recv_event.fn = handshake_received;
    tls->send_event.fn = handshake_sent;
    tls->job.work = calculate;
    tls->job.done.event.fn = calculated;
    tls->job.loop = transport->loop;
    handshake_receive(tls);
}

static void handshake_receive(struct tls_transport *tls)
{
    tls_stream_receive(tls);
}

/* GnuTLS gets to see whole records only: a calculation for each record, not for each byte. */
static void find_records(struct tls_transport *tls)
{
    struct tls_input in = tls_stream_input(tls);

    tls->usable_bytes = tls_record_scan_whole(in.bytes + *in.start, *in.end - *in.start,
                                              in.capacity, &tls->record_left_bytes);
}

static void handshake_received(struct io_event *ev, int result)
{
    struct tls_transport *tls = container_of(ev, struct tls_transport, recv_event);

    if (!tls_stream_receive_ended(tls, result))
        return;
    if (result <= 0) {
        tls->broken = true;
        log_write_of(LOG_NOTICE, tls->name, "TLS handshake: the client closed the connection%s",
                     tls->answered
                         ? " after it had seen this server's credentials: perhaps it does not "
                           "trust them (its ca-cert.pem, the host name, its key)"
                         : "");
        handshake_ended(tls, -ECONNRESET);
        return;
    }
    tls->handshake_bytes += (uint32_t)result;
    if (tls->handshake_bytes > TLS_LIMITS_HANDSHAKE_BYTES) {
        tls->broken = true;
        log_write_of(LOG_NOTICE, tls->name, "TLS handshake: it sent more than %u bytes; dropped",
                     TLS_LIMITS_HANDSHAKE_BYTES);
        handshake_ended(tls, -EMSGSIZE);
        return;
    }
    find_records(tls);
    if (tls->usable_bytes == 0) {
        handshake_receive(tls);
        return;
    }
    tls->out = tls_buffer_acquire(tls->buffers, false);
    if (tls->out == NULL) {
        tls->broken = true;
        log_write_of(LOG_WARNING, tls->name, "TLS handshake: not enough memory");
        handshake_ended(tls, -ENOMEM);
    } else if (tls->tls->offload != NULL) {
        offload_run(tls->tls->offload, &tls->job);
    } else {
        calculate(&tls->job);
        loop_post(tls->transport.loop, &tls->job.done);
    }
}

/* GnuTLS returns behind a record that ends within a message, whatever else has arrived. */
static int go_on(struct tls_transport *tls)
{
    uint32_t before;
    int result;

    do {
        before = tls->usable_bytes;
        result = tls_server_session_handshake(tls->admission);
    } while (result == -EAGAIN && tls->usable_bytes > 0 && tls->usable_bytes < before);
    return result;
}

/* On a thread of the pool, or on that of the loop. */
static void calculate(struct offload_job *job)
{
    struct tls_transport *tls = container_of(job, struct tls_transport, job);

    /* One that waited for longer than its client did is not worth it. */
    job->done.result = atomic_load(&tls->given_up) ? -ECONNRESET : go_on(tls);
}

static void calculated(struct io_event *ev, int result)
{
    struct tls_transport *tls =
        container_of(container_of(ev, struct loop_message, event), struct tls_transport, job.done);

    (void)result;
    if (tls->out->end > 0) {
        tls->answered = true;
        tls_stream_transmit(tls);
        return;
    }
    tls_stream_release_out(tls);
    handshake_next(tls);
}

static void handshake_sent(struct io_event *ev, int result)
{
    struct tls_transport *tls = container_of(ev, struct tls_transport, send_event);

    if (!tls_stream_transmit_ended(tls, &result))
        return;
    if (result < 0 && tls->job.done.result != -EPROTO) {
        tls->broken = true;
        log_write_of(LOG_NOTICE, tls->name, "TLS handshake: the connection broke");
        handshake_ended(tls, result);
        return;
    }
    handshake_next(tls);
}

/* Lets the kernel go on where GnuTLS is, if that is wanted and possible: `successor` is set then.
 * -ECONNRESET: the connection is lost on the way.  What has been received already must be whole
 * records, because nobody can give half a one back to the kernel. */
static int hand_over(struct tls_transport *tls)
{
    struct error err;

    bool tls13 = gnutls_protocol_get_version(tls->session->gnutls) == GNUTLS_TLS1_3;

    if (!tls_prefers_kernel(tls->tls, tls13) || tls->record_left_bytes > 0)
        return 0;
    find_records(tls);
    if (tls->usable_bytes < tls_stream_input_bytes(tls) || tls->record_left_bytes > 0)
        return 0;
    int result = ktls_handover(&tls->successor, tls->session, tls->tls, tls->transport.loop,
                               &tls->file, tls->peer, &err);
    if (result < 0)
        log_write_of(LOG_NOTICE, tls->name, "TLS: %s; dropped", err.text);
    return result;
}

static int open_session(struct tls_transport *tls)
{
    char text[400];

    transport_tls_open(tls);
    tls_server_session_prove(tls->admission, tls->peer);
    int result = hand_over(tls);
    if (result < 0)
        return result;
    if (tls->successor == NULL)
        tls_protection_start(tls, tls->tls->records_per_key, tls->record_left_bytes == 0);
    tls_server_session_describe(tls->admission, tls->peer, tls_protection_name(tls), text,
                                sizeof text);
    log_write_of(LOG_INFO, tls->name, "%s%s", text,
                 tls->successor != NULL      ? ", kernel TLS"
                 : tls->tls->ktls == KTLS_ON ? ", user space"
                                             : "");
    return 0;
}

static void handshake_next(struct tls_transport *tls)
{
    int result = tls->job.done.result;

    if (result == -EAGAIN) {
        handshake_receive(tls);
        return;
    }
    if (result == -ECONNRESET) {
        tls->broken = true;
        handshake_ended(tls, result);
        return;
    }
    if (result < 0) {
        refuse(tls);
        return;
    }
    result = open_session(tls);
    tls->broken = result < 0;
    handshake_ended(tls, result);
}

static void refuse(struct tls_transport *tls)
{
    tls->broken = true;
    log_write_about(tls->admission->refused ? LOG_WARNING : LOG_NOTICE,
                    LOG_ABOUT(.id = LOG_ID_CLIENT_DENIED, .who = tls->name), "TLS refused: %s",
                    tls->session->reason);
    EVENT(.type = "client.denied", .peer = tls->name, .reason = tls->session->reason);
    loop_file_shutdown(tls->transport.loop, &tls->file, SHUT_WR);
    tls->recv_event.fn = forgotten;
    forget(tls);
}

/* A close with unread bytes would take back the alert that says why, and a client that is still
 * sending would see its connection break instead: what comes is read and forgotten until the client
 * closes, within the time of the handshake. */
static void forget(struct tls_transport *tls)
{
    tls->staged_start = tls->staged_end;
    tls_stream_receive(tls);
}

static void forgotten(struct io_event *ev, int result)
{
    struct tls_transport *tls = container_of(ev, struct tls_transport, recv_event);

    if (!tls_stream_receive_ended(tls, result))
        return;
    if (result > 0)
        forget(tls);
    else
        handshake_ended(tls, tls->job.done.result);
}

static void handshake_ended(struct tls_transport *tls, int result)
{
    tls->handshake_done->fn(tls->handshake_done, result);
}

struct transport *transport_tls_settle(struct transport *transport)
{
    struct tls_transport *tls = container_of(transport, struct tls_transport, transport);
    struct transport *successor = tls->successor;

    tally_add(successor != NULL             ? TALLY_TLS_BY_KERNEL
              : tls->protection.gcm != NULL ? TALLY_TLS_BY_US
                                            : TALLY_TLS_BY_GNUTLS);
    if (successor == NULL)
        return transport;
    successor->recv_done = transport->recv_done;
    successor->send_done = transport->send_done;
    transport_tls_release(tls);
    return successor;
}
