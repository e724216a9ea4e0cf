#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"
#include "server/transport/ktls.h"
#include "server/transport/transport.h"

struct plain {
    struct transport transport;
    struct loop_file file;
    struct ktls *ktls; /* NULL: in the clear */

    /* What is being asked for. Each receive has two places: the rest of it, and the staging
     * buffer behind it, so one system call brings a payload and the requests that follow. */
    struct io_event recv_event;
    struct msghdr recv_message;
    struct iovec recv_iov[2];
    uint8_t *wanted;
    uint32_t wanted_bytes;
    enum transport_receive receiving;
    bool wanted_begun, scrubs;

    struct io_event send_event;
    struct msghdr send_message;
    struct msghdr *update; /* of kernel TLS, which is sent before it; NULL: none */
    bool sending;

    uint32_t staged_start, staged_end;
    uint8_t staging[TRANSPORT_STAGING_BYTES];
};

static struct plain *plain_of(struct transport *transport)
{
    return container_of(transport, struct plain, transport);
}

static void take_staged(struct plain *plain)
{
    uint32_t count = plain->staged_end - plain->staged_start;

    if (count > plain->wanted_bytes)
        count = plain->wanted_bytes;
    memcpy(plain->wanted, plain->staging + plain->staged_start, count);
    plain->staged_start += count;
    plain->wanted += count;
    plain->wanted_bytes -= count;
    plain->wanted_begun |= count > 0;
}

static void receive_more(struct plain *plain)
{
    assert(plain->staged_start == plain->staged_end);
    plain->staged_start = plain->staged_end = 0;
    plain->recv_iov[0] =
        (struct iovec){ .iov_base = plain->wanted, .iov_len = plain->wanted_bytes };
    plain->recv_iov[1] =
        (struct iovec){ .iov_base = plain->staging, .iov_len = TRANSPORT_STAGING_BYTES };
    plain->recv_message = (struct msghdr){ .msg_iov = plain->recv_iov, .msg_iovlen = 2 };
    if (plain->ktls != NULL)
        ktls_prepare(plain->ktls, &plain->recv_message);
    plain->receiving = TRANSPORT_RECEIVING;
    loop_recvmsg(plain->transport.loop, &plain->recv_event, &plain->file, &plain->recv_message);
}

static bool plain_recv(struct transport *transport, void *data, uint32_t length_bytes)
{
    struct plain *plain = plain_of(transport);

    assert(!plain->receiving);
    plain->wanted = data;
    plain->wanted_bytes = length_bytes;
    plain->wanted_begun = false;
    take_staged(plain);
    if (plain->wanted_bytes == 0)
        return true;
    receive_more(plain);
    return false;
}

/* Nothing may be in flight. */
static void wipe_taken(struct plain *plain)
{
    secret_wipe(plain->staging, plain->staged_start);
    secret_wipe(plain->staging + plain->staged_end, TRANSPORT_STAGING_BYTES - plain->staged_end);
    plain->scrubs = false;
}

static void received(struct io_event *ev, int result)
{
    struct plain *plain = container_of(ev, struct plain, recv_event);

    bool interrupted = transport_is_interrupted(plain->receiving, result);

    plain->receiving = TRANSPORT_RECEIVES_NOT;
    if (plain->ktls != NULL && !interrupted) {
        result = ktls_received(plain->ktls, &plain->recv_message, result, !plain->sending);
        interrupted = transport_is_interrupted(plain->receiving, result);
    }
    if (interrupted) {
        if (plain->scrubs)
            wipe_taken(plain);
        receive_more(plain);
        return;
    }
    if (result <= 0) {
        int end = plain->wanted_begun ? -ECONNRESET : TRANSPORT_END;

        plain->transport.recv_done->fn(plain->transport.recv_done, result < 0 ? result : end);
        return;
    }
    uint32_t count = (uint32_t)result;
    uint32_t direct = count < plain->wanted_bytes ? count : plain->wanted_bytes;
    plain->staged_end = count - direct;
    plain->wanted += direct;
    plain->wanted_bytes -= direct;
    plain->wanted_begun = true;
    if (plain->wanted_bytes > 0)
        receive_more(plain);
    else
        plain->transport.recv_done->fn(plain->transport.recv_done, TRANSPORT_FILLED);
}

static void send_again(struct plain *plain)
{
    plain->update = plain->ktls != NULL ? ktls_before_send(plain->ktls) : NULL;
    plain->sending = true;
    loop_sendmsg(plain->transport.loop, &plain->send_event, &plain->file,
                 plain->update != NULL ? plain->update : &plain->send_message);
}

static void plain_send(struct transport *transport, struct iovec *iov, unsigned iov_count)
{
    struct plain *plain = plain_of(transport);

    assert(!plain->sending);
    plain->send_message = (struct msghdr){ .msg_iov = iov, .msg_iovlen = iov_count };
    send_again(plain);
}

static void sent(struct io_event *ev, int result)
{
    struct plain *plain = container_of(ev, struct plain, send_event);

    plain->sending = false;
    if (plain->update != NULL && result != -EINTR && result != -EAGAIN) {
        result = ktls_update_sent(plain->ktls, result);
        if (result == 0)
            result = -EAGAIN; /* now the data */
    } else if (plain->ktls != NULL && result > 0) {
        ktls_sent(plain->ktls, (uint32_t)result);
    }
    if (result == -EINTR || result == -EAGAIN)
        send_again(plain);
    else
        plain->transport.send_done->fn(plain->transport.send_done, result == 0 ? -EPIPE : result);
}

static bool plain_has_unread(struct transport *transport)
{
    struct plain *plain = plain_of(transport);

    return plain->staged_start != plain->staged_end ||
           loop_file_has_unread(transport->loop, &plain->file);
}

/* What arrives goes into the staging buffer, so a receive in flight is ended, and begun anew when
 * that is clean. */
static bool plain_scrub(struct transport *transport, bool again)
{
    struct plain *plain = plain_of(transport);

    plain->scrubs |= !again;
    if (plain->scrubs && plain->receiving == TRANSPORT_RECEIVES_NOT) {
        wipe_taken(plain);
    } else if (plain->scrubs && plain->receiving == TRANSPORT_RECEIVING) {
        plain->receiving = TRANSPORT_RECEIVE_CANCELLED; /* that may come too late: see `again` */
        loop_cancel(transport->loop, &plain->recv_event);
    }
    return !plain->scrubs;
}

static void say_goodbye(struct plain *plain)
{
    assert(!plain->sending);
    if (plain->ktls != NULL)
        ktls_say_goodbye(plain->ktls);
}

static void plain_finish(struct transport *transport)
{
    say_goodbye(plain_of(transport));
    loop_file_shutdown(transport->loop, &plain_of(transport)->file, SHUT_WR);
}

static void plain_abort(struct transport *transport)
{
    if (plain_of(transport)->ktls != NULL)
        plain_of(transport)->ktls->aborted = true;
    loop_file_shutdown(transport->loop, &plain_of(transport)->file, SHUT_RDWR);
}

/* What clients wrote does not stay in memory that others get. */
static void wipe_and_free(struct plain *plain)
{
    secret_wipe(plain->staging, TRANSPORT_STAGING_BYTES);
    free(plain);
}

static void plain_close(struct transport *transport)
{
    struct plain *plain = plain_of(transport);

    assert(!plain->receiving && !plain->sending);
    say_goodbye(plain);
    loop_file_close(transport->loop, &plain->file);
    ktls_free(plain->ktls);
    wipe_and_free(plain);
}

struct loop_file transport_plain_detach(struct transport *transport)
{
    struct plain *plain = plain_of(transport);
    struct loop_file file = plain->file;

    assert(!plain->receiving && !plain->sending && plain->ktls == NULL);
    free(plain);
    return file;
}

static bool plain_has_begun(struct transport *transport)
{
    return plain_of(transport)->wanted_begun;
}

static uint32_t plain_unsent_bytes(struct transport *transport)
{
    return loop_file_unsent_bytes(transport->loop, &plain_of(transport)->file);
}

static const struct transport_ops plain_ops = {
    .name = "plain",
    .recv = plain_recv,
    .send = plain_send,
    .has_unread = plain_has_unread,
    .has_begun = plain_has_begun,
    .unsent_bytes = plain_unsent_bytes,
    .scrub = plain_scrub,
    .finish = plain_finish,
    .abort = plain_abort,
    .close = plain_close,
};

static struct plain *create(struct loop *loop)
{
    struct plain *plain = malloc(sizeof *plain);

    if (plain == NULL)
        return NULL;
    /* Not the staging buffer: it costs memory only once it is used. */
    memset(plain, 0, offsetof(struct plain, staging));
    plain->transport = (struct transport){ .ops = &plain_ops, .loop = loop };
    plain->recv_event.fn = received;
    plain->send_event.fn = sent;
    return plain;
}

int transport_plain_create(struct transport **out, struct loop *loop, int fd, struct error *err)
{
    struct plain *plain = create(loop);

    if (plain == NULL)
        return error_no_memory(err, "for a connection");
    loop_file_init(loop, &plain->file, fd);
    *out = &plain->transport;
    return 0;
}

int transport_plain_create_on_ktls(struct transport **out, struct loop *loop,
                                   const struct loop_file *file, struct ktls *ktls,
                                   const void *received_before, uint32_t received_bytes,
                                   struct error *err)
{
    struct plain *plain = create(loop);

    if (plain == NULL)
        return error_no_memory(err, "for a connection");
    assert(received_bytes <= TRANSPORT_STAGING_BYTES);
    plain->file = *file;
    plain->ktls = ktls;
    memcpy(plain->staging, received_before, received_bytes);
    plain->staged_end = received_bytes;
    *out = &plain->transport;
    return 0;
}
