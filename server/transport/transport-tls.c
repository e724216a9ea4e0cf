/* What happens to a session, in order:
 *
 *     handshake:  transport-tls-handshake.c, of a server
 *     open:       recv and send of the owner
 *     broken:     after an error nothing is read or said any more
 *
 * tls-stream is below it: what has been received, and what is to be sent. */
#include "server/transport/transport-tls-internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/transport/iov-gather.h"
#include "crypto/secret.h"
#include "server/base/log.h"

#define LARGE_RECEIVE_BYTES 16384u /* for as much as that a large buffer is worth it */
#define IDLE_STEPS_MAX 16u         /* of GnuTLS without taking a byte */
#define SILENT_BYTES_MAX \
    262144u /* of records without data: a few tickets of the longest are fine */

_Static_assert(GATHER_BYTES == TLS_RECORD_PLAIN_BYTES, "what is gathered is a record");

static struct tls_transport *tls_of(struct transport *transport)
{
    return container_of(transport, struct tls_transport, transport);
}

/* ---- errors ---- */

/* The session is over.  The client is told unless half a record is on its way to it. */
static int break_off(struct tls_transport *tls, int error)
{
    tls->broken = true;
    log_write_of(LOG_NOTICE, tls->name, "TLS: %s; dropped",
                 tls_session_explain(tls->session, error, tls->protection.alert));
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
    log_write_of(
        LOG_NOTICE, tls->name,
        "TLS: the connection ended without close_notify: the %s vanished, or somebody on the "
        "way cut it",
        tls->session->end->other);
    return -ECONNRESET;
}

/* ---- recv ---- */

#define MORE 2 /* is needed: beside the results of recv_done */

static int other_ended(struct tls_transport *tls)
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
            tls->silent_bytes = 0;
            continue;
        }
        if (count == 0)
            return other_ended(tls);
        tls->silent_bytes += before - tls_stream_input_bytes(tls);
        if (tls->silent_bytes > SILENT_BYTES_MAX)
            return break_off(tls, GNUTLS_E_HANDSHAKE_TOO_LARGE);
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
    bool fits =
        tls->protection.gcm == NULL || tls_protection_wants_bytes(tls) <= TRANSPORT_STAGING_BYTES;

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
static int fill_records(struct tls_transport *tls, struct iov_gather *gather)
{
    struct tls_buffer *out = tls->out;

    do {
        size_t length_bytes;
        const uint8_t *data = iov_gather_peek(gather, &length_bytes);
        ssize_t count = tls_protection_send(tls, data, length_bytes);

        if (count <= 0)
            return count == 0 ? GNUTLS_E_INTERNAL_ERROR : (int)count;
        iov_gather_advance(gather, (size_t)count);
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
    struct iov_gather gather = { .iov = iov,
                                 .count = iov_count,
                                 .together = tls->buffers->together };
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

/* ---- the end ---- */

static bool stream_has_unread(struct transport *transport)
{
    struct tls_transport *tls = tls_of(transport);

    return tls_stream_input_bytes(tls) > 0 ||
           gnutls_record_check_pending(tls->session->gnutls) > 0 ||
           loop_file_has_unread(transport->loop, &tls->file);
}

/* A part of a record is enough: it is held until it is whole. */
static bool stream_has_begun(struct transport *transport)
{
    struct tls_transport *tls = tls_of(transport);

    return tls->wanted_begun || tls_stream_input_bytes(tls) > 0;
}

static uint32_t stream_unsent_bytes(struct transport *transport)
{
    return loop_file_unsent_bytes(transport->loop, &tls_of(transport)->file);
}

/* As in transport-plain.c.  Not reached: what GnuTLS keeps of records that it makes and opens; and
 * the buffers of the worker, once for all connections. */
static bool stream_scrub(struct transport *transport, bool again)
{
    struct tls_transport *tls = tls_of(transport);

    tls->scrubs |= !again;
    if (tls->scrubs && tls->receiving == TRANSPORT_RECEIVES_NOT) {
        tls_stream_wipe_taken(tls);
    } else if (tls->scrubs && tls->receiving == TRANSPORT_RECEIVING) {
        tls->receiving = TRANSPORT_RECEIVE_CANCELLED;
        loop_cancel(transport->loop, &tls->recv_event);
    }
    return !tls->scrubs;
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
    atomic_store(&tls->given_up, true);
    loop_file_shutdown(transport->loop, &tls->file, SHUT_RDWR);
}

void transport_tls_release(struct tls_transport *tls)
{
    assert(!tls->receiving && !tls->sending);
    assert(!tls->recv_report.queued && !tls->send_report.queued);
    tls_buffer_release(tls->buffers, tls->in);
    tls_buffer_release(tls->buffers, tls->out);
    tls_session_free(tls->session);
    secret_wipe(tls->staging, TRANSPORT_STAGING_BYTES);
    free(tls);
}

static void stream_close(struct transport *transport)
{
    struct tls_transport *tls = tls_of(transport);

    say_goodbye(tls);
    loop_file_close(transport->loop, &tls->file);
    transport_tls_release(tls);
}

static const struct transport_ops stream_ops = {
    .name = "tls",
    .recv = stream_recv,
    .send = stream_send,
    .has_unread = stream_has_unread,
    .has_begun = stream_has_begun,
    .unsent_bytes = stream_unsent_bytes,
    .scrub = stream_scrub,
    .finish = stream_finish,
    .abort = stream_abort,
    .close = stream_close,
};

int transport_tls_make(struct tls_transport **out, struct loop *loop, struct tls_buffers *buffers,
                       const char *name, struct error *err)
{
    struct tls_transport *tls = malloc(sizeof *tls);

    if (tls == NULL)
        return error_no_memory(err, "for a connection");
    memset(tls, 0, offsetof(struct tls_transport, staging));
    tls->transport = (struct transport){ .ops = &stream_ops, .loop = loop };
    tls->buffers = buffers;
    tls->name = name;
    tls->file = (struct loop_file){ .fd = -1, .slot = -1 };
    tls->recv_report.fn = report_recv;
    tls->send_report.fn = report_send;
    *out = tls;
    return 0;
}

void transport_tls_take(struct tls_transport *tls, struct tls_session *session)
{
    tls->session = session;
    gnutls_transport_set_ptr(session->gnutls, tls);
    gnutls_transport_set_pull_function(session->gnutls, tls_stream_pull);
    gnutls_transport_set_vec_push_function(session->gnutls, tls_stream_push);
}

void transport_tls_open(struct tls_transport *tls)
{
    tls->open = true;
    tls->recv_event.fn = received;
    tls->send_event.fn = sent;
}
