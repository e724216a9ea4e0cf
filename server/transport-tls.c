/* What happens to a session, in order:
 *
 *     handshake:  receive -> whole records? -> calculate (offload) -> send -> receive ...
 *     open:       recv and send of the owner
 *     broken:     after an error nothing is read or said any more
 *
 * tls-stream is below it: what has been received, and what is to be sent. */
#include "server/transport-tls.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/gather.h"
#include "server/ktls-handover.h"
#include "server/log.h"
#include "server/tls-protection.h"
#include "server/tls-records.h"
#include "server/tls-stream.h"

#define LARGE_RECEIVE_BYTES 16384u /* for as much as that a large buffer is worth it */
#define IDLE_STEPS_MAX 16u         /* of GnuTLS without taking a byte */

static struct tls_transport *tls_of(struct transport *transport)
{
    return container_of(transport, struct tls_transport, transport);
}

/* ---- errors ---- */

/* The session is over.  The client is told unless half a record is on its way to it. */
static int break_off(struct tls_transport *tls, int error)
{
    tls->broken = true;
    log_info("%s: TLS: %s; dropped", tls->peer->text,
             tls_session_explain(&tls->session, error, tls->protection.alert));
    if (tls->sending || error == GNUTLS_E_FATAL_ALERT_RECEIVED)
        return -ECONNRESET;
    tls->out = tls_buffer_acquire(tls->buffers, false);
    if (tls->out != NULL) {
        tls_protection_alert(tls, error);
        tls_stream_send_now(tls);
    }
    return -ECONNRESET;
}

static int lost(struct tls_transport *tls, int result)
{
    tls->broken = true;
    if (result < 0 || tls->aborted)
        return result < 0 ? result : -ECONNRESET;
    log_info("%s: TLS: the connection ended without close_notify: the client vanished, or somebody on "
             "the way cut it", tls->peer->text);
    return -ECONNRESET;
}

/* ---- recv ---- */

#define MORE 2 /* is needed: beside the results of recv_done */

static int client_ended(struct tls_transport *tls)
{
    tls->ended = true;
    return tls->wanted_begun ? -ECONNRESET : TRANSPORT_END;
}

/* Deciphers what is there, until `wanted` is full. */
static int decipher(struct tls_transport *tls)
{
    unsigned idle_steps = 0;

    while (tls->wanted_bytes > 0) {
        uint32_t before = tls_stream_input_bytes(tls);
        ssize_t count = tls_protection_recv(tls, tls->wanted, tls->wanted_bytes);

        if (count > 0) {
            tls->wanted += count;
            tls->wanted_bytes -= (uint32_t)count;
            tls->wanted_begun = true;
            continue;
        }
        if (count == 0)
            return client_ended(tls);
        if (count == GNUTLS_E_AGAIN &&
            (tls->protection.gcm != NULL || tls_stream_input_bytes(tls) == 0))
            return MORE;
        if (count != GNUTLS_E_AGAIN && count != GNUTLS_E_INTERRUPTED &&
            count != GNUTLS_E_WARNING_ALERT_RECEIVED)
            return break_off(tls, (int)count);
        /* A key update, say: GnuTLS returns after it. */
        idle_steps = tls_stream_input_bytes(tls) == before ? idle_steps + 1 : 0;
        if (idle_steps > IDLE_STEPS_MAX)
            return break_off(tls, GNUTLS_E_INTERNAL_ERROR);
    }
    return TRANSPORT_FILLED;
}

static void release_in(struct tls_transport *tls)
{
    if (tls->in != NULL && tls->in->start == tls->in->end) {
        tls_buffer_release(tls->buffers, tls->in);
        tls->in = NULL;
    }
}

/* All whole records that are there have been deciphered.  -ENOMEM: the next one has no room. */
static int receive_more(struct tls_transport *tls)
{
    bool large = tls->wanted_bytes >= LARGE_RECEIVE_BYTES;
    bool fits = tls->protection.gcm == NULL ||
                tls_protection_wants_bytes(tls) <= TRANSPORT_STAGING_BYTES;

    if (!large)
        release_in(tls);
    if (tls->in == NULL && (large || !fits) && !tls_stream_enlarge(tls, large) && !fits)
        return -ENOMEM;
    tls_stream_receive(tls);
    return 0;
}

static void report_recv(struct loop_task *task)
{
    struct tls_transport *tls = container_of(task, struct tls_transport, recv_report);

    tls->transport.recv_done->fn(tls->transport.recv_done, tls->recv_result);
}

static bool stream_recv(struct transport *transport, void *data, uint32_t length_bytes)
{
    struct tls_transport *tls = tls_of(transport);
    int result = tls->ended && !tls->broken ? TRANSPORT_END : -ECONNRESET;

    assert(tls->open && !tls->receiving && !tls->recv_report.queued);
    tls->wanted = data;
    tls->wanted_bytes = length_bytes;
    tls->wanted_begun = false;
    if (!tls->ended && !tls->broken)
        result = decipher(tls);
    if (result == TRANSPORT_FILLED) {
        release_in(tls);
        return true;
    }
    if (result == MORE)
        result = receive_more(tls);
    if (tls->receiving)
        return false;
    tls->broken |= result == -ENOMEM;
    tls->recv_result = result;
    loop_defer(transport->loop, &tls->recv_report);
    return false;
}

static void received(struct io_event *ev, int result)
{
    struct tls_transport *tls = container_of(ev, struct tls_transport, recv_event);

    if (!tls_stream_receive_ended(tls, result))
        return;
    if (tls->broken) /* a send found it out */
        result = -ECONNRESET;
    else
        result = result > 0 ? decipher(tls) : lost(tls, result);
    if (result == MORE)
        result = receive_more(tls);
    if (tls->receiving)
        return;
    tls->broken |= result == -ENOMEM;
    release_in(tls);
    tls->transport.recv_done->fn(tls->transport.recv_done, result);
}

/* ---- send ---- */

/* Fills `out` with records: 0, or an error of GnuTLS. */
static int fill_records(struct tls_transport *tls, struct gather *gather)
{
    struct tls_buffer *out = tls->out;

    do {
        size_t length_bytes;
        const uint8_t *data = gather_peek(gather, &length_bytes);
        ssize_t count = tls_protection_send(tls, data, length_bytes);

        if (count <= 0)
            return count == 0 ? GNUTLS_E_INTERNAL_ERROR : (int)count;
        gather_advance(gather, (size_t)count);
        tls->taken_bytes += (int)count;
    } while (gather->count > 0 && out->capacity_bytes - out->end >= TLS_BUFFER_SMALL_BYTES);
    return 0;
}

static void report_send(struct loop_task *task)
{
    struct tls_transport *tls = container_of(task, struct tls_transport, send_report);

    tls->transport.send_done->fn(tls->transport.send_done, -ECONNRESET);
}

static void stream_send(struct transport *transport, struct iovec *iov, unsigned iov_count)
{
    struct tls_transport *tls = tls_of(transport);
    struct gather gather = { .iov = iov, .count = iov_count };
    size_t total_bytes = 0;

    assert(tls->open && !tls->sending && !tls->send_report.queued);
    for (unsigned i = 0; i < iov_count; i++)
        total_bytes += iov[i].iov_len;
    tls->taken_bytes = 0;
    if (!tls->broken)
        tls->out = tls_buffer_acquire(tls->buffers, total_bytes > TLS_RECORD_PLAIN_BYTES);
    if (tls->out != NULL && fill_records(tls, &gather) == 0) {
        tls_stream_transmit(tls);
        return;
    }
    tls_stream_release_out(tls);
    tls->broken = true;
    loop_defer(transport->loop, &tls->send_report);
}

static void sent(struct io_event *ev, int result)
{
    struct tls_transport *tls = container_of(ev, struct tls_transport, send_event);

    if (tls_stream_transmit_ended(tls, &result))
        tls->transport.send_done->fn(tls->transport.send_done,
                                     result < 0 ? result : tls->taken_bytes);
}

/* ---- the handshake ---- */

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
    struct tls_transport *tls = tls_of(transport);

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

    tls->usable_bytes = tls_records_whole(in.bytes + *in.start, *in.end - *in.start, in.capacity,
                                          &tls->record_left_bytes);
}

static void handshake_received(struct io_event *ev, int result)
{
    struct tls_transport *tls = container_of(ev, struct tls_transport, recv_event);

    if (!tls_stream_receive_ended(tls, result))
        return;
    if (result <= 0) {
        tls->broken = true;
        log_info("%s: TLS handshake: the client closed the connection%s", tls->peer->text,
                 tls->answered ? " after it had seen this server's credentials: perhaps it does not "
                                 "trust them (its ca-cert.pem, the host name, its key)"
                               : "");
        handshake_ended(tls, -ECONNRESET);
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
        log_warning("%s: TLS handshake: not enough memory", tls->peer->text);
        handshake_ended(tls, -ENOMEM);
    } else if (tls->tls->offload != NULL) {
        offload_run(tls->tls->offload, &tls->job);
    } else {
        calculate(&tls->job);
        loop_post(tls->transport.loop, &tls->job.done);
    }
}

/* On a thread of the pool, or on that of the loop. */
static void calculate(struct offload_job *job)
{
    struct tls_transport *tls = container_of(job, struct tls_transport, job);

    job->done.result = tls_session_handshake(&tls->session);
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
        log_info("%s: TLS handshake: the connection broke", tls->peer->text);
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

    bool tls13 = gnutls_protocol_get_version(tls->session.gnutls) == GNUTLS_TLS1_3;

    if (!tls_prefers_kernel(tls->tls, tls13) || tls->record_left_bytes > 0)
        return 0;
    find_records(tls);
    if (tls->usable_bytes < tls_stream_input_bytes(tls) || tls->record_left_bytes > 0)
        return 0;
    int code = ktls_hand_over(&tls->successor, &tls->session, tls->tls, tls->transport.loop,
                              &tls->file, tls->peer, &err);
    if (code < 0)
        log_info("%s: TLS: %s; dropped", tls->peer->text, err.text);
    return code;
}

static int open_session(struct tls_transport *tls)
{
    char text[400];

    tls->open = true;
    tls->recv_event.fn = received;
    tls->send_event.fn = sent;
    tls_session_prove(&tls->session, tls->peer);
    int code = hand_over(tls);
    if (code < 0)
        return code;
    if (tls->successor == NULL)
        tls_protection_start(tls);
    tls_session_describe(&tls->session, tls->peer, tls_protection_name(tls), text, sizeof text);
    log_info("%s: %s%s", tls->peer->text, text,
             tls->successor != NULL ? ", kernel TLS"
             : tls->tls->ktls == KTLS_ON ? ", user space" : "");
    return 0;
}

static void handshake_next(struct tls_transport *tls)
{
    int code = tls->job.done.result;

    if (code == -EAGAIN) {
        handshake_receive(tls);
        return;
    }
    if (code < 0) {
        refuse(tls);
        return;
    }
    code = open_session(tls);
    tls->broken = code < 0;
    handshake_ended(tls, code);
}

static void refuse(struct tls_transport *tls)
{
    tls->broken = true;
    log_write(tls->session.refused ? LOG_WARNING : LOG_INFO, "%s: TLS refused: %s", tls->peer->text,
              tls->session.reason);
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

static void handshake_ended(struct tls_transport *tls, int code)
{
    tls->handshake_done->fn(tls->handshake_done, code);
}

/* ---- the end ---- */

static bool stream_has_unread(struct transport *transport)
{
    struct tls_transport *tls = tls_of(transport);

    return tls_stream_input_bytes(tls) > 0 || gnutls_record_check_pending(tls->session.gnutls) > 0 ||
           loop_file_has_unread(transport->loop, &tls->file);
}

/* close_notify, once. */
static void say_goodbye(struct tls_transport *tls)
{
    if (!tls->open || tls->broken || tls->aborted || tls->said_goodbye)
        return;
    assert(!tls->sending);
    tls->said_goodbye = true;
    tls->out = tls_buffer_acquire(tls->buffers, false);
    if (tls->out == NULL)
        return;
    tls_protection_bye(tls);
    tls_stream_send_now(tls);
}

static void stream_finish(struct transport *transport)
{
    struct tls_transport *tls = tls_of(transport);

    say_goodbye(tls);
    loop_file_shutdown(transport->loop, &tls->file, SHUT_WR);
}

static void stream_abort(struct transport *transport)
{
    struct tls_transport *tls = tls_of(transport);

    tls->aborted = true;
    loop_file_shutdown(transport->loop, &tls->file, SHUT_RDWR);
}

static void release(struct tls_transport *tls)
{
    assert(!tls->receiving && !tls->sending);
    assert(!tls->recv_report.queued && !tls->send_report.queued);
    tls_buffer_release(tls->buffers, tls->in);
    tls_buffer_release(tls->buffers, tls->out);
    tls_session_free(&tls->session);
    free(tls);
}

static void stream_close(struct transport *transport)
{
    struct tls_transport *tls = tls_of(transport);

    say_goodbye(tls);
    loop_file_close(transport->loop, &tls->file);
    release(tls);
}

struct transport *transport_tls_settle(struct transport *transport)
{
    struct tls_transport *tls = tls_of(transport);
    struct transport *successor = tls->successor;

    if (successor == NULL)
        return transport;
    successor->recv_done = transport->recv_done;
    successor->send_done = transport->send_done;
    release(tls);
    return successor;
}

static const struct transport_ops stream_ops = {
    .name = "tls",
    .recv = stream_recv,
    .send = stream_send,
    .has_unread = stream_has_unread,
    .finish = stream_finish,
    .abort = stream_abort,
    .close = stream_close,
};

int transport_tls_create(struct transport **out, const struct transport_tls_settings *settings,
                         struct error *err)
{
    struct tls_transport *tls = malloc(sizeof *tls);

    if (tls == NULL)
        return error_set(err, -ENOMEM, "not enough memory for a connection");
    memset(tls, 0, offsetof(struct tls_transport, staging));
    int code = tls_session_init(&tls->session, tls_credentials_now(settings->tls), err);
    if (code < 0) {
        free(tls);
        return code;
    }
    tls->transport = (struct transport){ .ops = &stream_ops, .loop = settings->loop };
    tls->tls = settings->tls;
    tls->buffers = settings->buffers;
    tls->peer = settings->peer;
    tls->file = (struct loop_file){ .fd = -1, .slot = -1 };
    tls->recv_report.fn = report_recv;
    tls->send_report.fn = report_send;
    if (gcm_choose() != NULL || tls_prefers_kernel(tls->tls, true))
        tls_record_keys_watch(&tls->session);
    gnutls_transport_set_ptr(tls->session.gnutls, tls);
    gnutls_transport_set_pull_function(tls->session.gnutls, tls_stream_pull);
    gnutls_transport_set_vec_push_function(tls->session.gnutls, tls_stream_push);
    *out = &tls->transport;
    return 0;
}
