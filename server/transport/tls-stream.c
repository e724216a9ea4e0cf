#include "server/transport/tls-stream.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"

#define HANDSHAKE_OUT_BYTES_MAX 262144u /* certificates of any sensible length */

/* ---- what has arrived ---- */

struct tls_input tls_stream_input(struct tls_transport *tls)
{
    if (tls->in != NULL)
        return (struct tls_input){ tls->in->bytes, &tls->in->start, &tls->in->end,
                                   tls->in->capacity_bytes };
    return (struct tls_input){ tls->staging, &tls->staged_start, &tls->staged_end,
                               TRANSPORT_STAGING_BYTES };
}

uint32_t tls_stream_input_bytes(struct tls_transport *tls)
{
    struct tls_input in = tls_stream_input(tls);

    return *in.end - *in.start;
}

/* GnuTLS takes what it needs, at most two times for each record. */
ssize_t tls_stream_pull(gnutls_transport_ptr_t context, void *data, size_t length_bytes)
{
    struct tls_transport *tls = context;
    struct tls_input in = tls_stream_input(tls);
    uint32_t count = tls->open ? *in.end - *in.start : tls->usable_bytes;

    if (count == 0) {
        gnutls_transport_set_errno(tls->session->gnutls, EAGAIN);
        return -1;
    }
    if (count > length_bytes)
        count = (uint32_t)length_bytes;
    memcpy(data, in.bytes + *in.start, count);
    *in.start += count;
    tls->usable_bytes -= tls->open ? 0 : count;
    return (ssize_t)count;
}

bool tls_stream_enlarge(struct tls_transport *tls, bool large)
{
    uint32_t count = tls->staged_end - tls->staged_start;

    assert(tls->in == NULL && !tls->receiving);
    tls->in = tls_buffer_acquire(tls->buffers, large);
    if (tls->in == NULL)
        return false;
    tls->in->opened = true;
    memcpy(tls->in->bytes, tls->staging + tls->staged_start, count);
    tls->in->end = count;
    tls->staged_start = tls->staged_end = 0;
    return true;
}

void tls_stream_receive(struct tls_transport *tls)
{
    struct tls_input in = tls_stream_input(tls);

    if (*in.start == *in.end) {
        *in.start = *in.end = 0;
    } else if (*in.start > 0) {
        memmove(in.bytes, in.bytes + *in.start, *in.end - *in.start);
        *in.end -= *in.start;
        *in.start = 0;
    }
    tls->recv_iov =
        (struct iovec){ .iov_base = in.bytes + *in.end, .iov_len = in.capacity - *in.end };
    assert(tls->recv_iov.iov_len > 0);
    tls->recv_message = (struct msghdr){ .msg_iov = &tls->recv_iov, .msg_iovlen = 1 };
    tls->receiving = TRANSPORT_RECEIVING;
    loop_recvmsg(tls->transport.loop, &tls->recv_event, &tls->file, &tls->recv_message);
}

void tls_stream_wipe_taken(struct tls_transport *tls)
{
    struct tls_input in = tls_stream_input(tls);

    secret_wipe(in.bytes, *in.start);
    secret_wipe(in.bytes + *in.end, in.capacity - *in.end);
    if (tls->in != NULL)
        secret_wipe(tls->staging, TRANSPORT_STAGING_BYTES);
    tls->scrubs = false;
}

bool tls_stream_receive_ended(struct tls_transport *tls, int result)
{
    bool interrupted = transport_is_interrupted(tls->receiving, result);

    tls->receiving = TRANSPORT_RECEIVES_NOT;
    if (interrupted) {
        if (tls->scrubs)
            tls_stream_wipe_taken(tls);
        tls_stream_receive(tls);
        return false;
    }
    if (result > 0)
        *tls_stream_input(tls).end += (uint32_t)result;
    return true;
}

/* ---- what is to be sent ---- */

/* There is no worker around when a handshake is calculated, so a buffer that is too small grows by
 * itself; in all other cases there is room (see fill_records()). */
static bool make_room(struct tls_transport *tls, size_t length_bytes)
{
    struct tls_buffer *out = tls->out;

    if (out != NULL && out->capacity_bytes - out->end >= length_bytes)
        return true;
    if (tls->open || out == NULL || out->capacity_bytes == TLS_BUFFER_LARGE_BYTES ||
        out->end + length_bytes > HANDSHAKE_OUT_BYTES_MAX)
        return false;
    struct tls_buffer *larger = realloc(out, sizeof *out + HANDSHAKE_OUT_BYTES_MAX);
    if (larger == NULL)
        return false;
    larger->capacity_bytes = HANDSHAKE_OUT_BYTES_MAX;
    tls->out = larger;
    return true;
}

ssize_t tls_stream_push(gnutls_transport_ptr_t context, const giovec_t *iov, int iov_count)
{
    struct tls_transport *tls = context;
    size_t length_bytes = 0;

    for (int i = 0; i < iov_count; i++)
        length_bytes += iov[i].iov_len;
    if (!make_room(tls, length_bytes)) {
        gnutls_transport_set_errno(tls->session->gnutls, ENOBUFS);
        return -1;
    }
    for (int i = 0; i < iov_count; i++) {
        memcpy(tls->out->bytes + tls->out->end, iov[i].iov_base, iov[i].iov_len);
        tls->out->end += (uint32_t)iov[i].iov_len;
    }
    return (ssize_t)length_bytes;
}

void tls_stream_release_out(struct tls_transport *tls)
{
    tls_buffer_release(tls->buffers, tls->out);
    tls->out = NULL;
}

void tls_stream_transmit(struct tls_transport *tls)
{
    struct tls_buffer *out = tls->out;

    tls->send_iov = (struct iovec){ out->bytes + out->start, out->end - out->start };
    tls->send_message = (struct msghdr){ .msg_iov = &tls->send_iov, .msg_iovlen = 1 };
    tls->sending = true;
    loop_sendmsg(tls->transport.loop, &tls->send_event, &tls->file, &tls->send_message);
}

bool tls_stream_transmit_ended(struct tls_transport *tls, int *result)
{
    tls->sending = false;
    if (*result == 0)
        *result = -EPIPE;
    if (*result > 0)
        tls->out->start += (uint32_t)*result;
    if (*result == -EINTR || *result == -EAGAIN ||
        (*result > 0 && tls->out->start < tls->out->end)) {
        tls_stream_transmit(tls);
        return false;
    }
    tls_stream_release_out(tls);
    return true;
}

void tls_stream_send_now(struct tls_transport *tls)
{
    if (tls->out->end > 0)
        loop_file_send_now(tls->transport.loop, &tls->file, tls->out->bytes, tls->out->end);
    tls_stream_release_out(tls);
}
