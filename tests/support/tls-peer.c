#include "tests/support/tls-peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/transport/tls-stream.h"
#include "tests/support/check.h"

#define KEY_HEX "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define PRIORITY_TLS13 "NORMAL:-VERS-ALL:+VERS-TLS1.3:+ECDHE-PSK:+DHE-PSK:+PSK"

/* ---- the bytes of the other end ---- */

static ssize_t other_pull(gnutls_transport_ptr_t context, void *data, size_t length_bytes)
{
    struct tls_peer *peer = context;
    size_t count = fake_socket_take(peer->loop, peer->fd, data, length_bytes);

    if (count > 0 || fake_socket_finished(peer->loop, peer->fd))
        return (ssize_t)count;
    gnutls_transport_set_errno(peer->other, EAGAIN);
    return -1;
}

static ssize_t other_push(gnutls_transport_ptr_t context, const void *data, size_t length_bytes)
{
    struct tls_peer *peer = context;

    pipe_put(&peer->outgoing, data, length_bytes);
    return (ssize_t)length_bytes;
}

size_t tls_peer_feed(struct tls_peer *peer, size_t length_bytes)
{
    uint8_t bytes[4096];
    size_t done = 0;

    while (done < length_bytes) {
        size_t left = length_bytes - done;
        size_t count = pipe_take(&peer->outgoing, bytes, left < sizeof bytes ? left : sizeof bytes);

        if (count == 0)
            break;
        fake_socket_feed(peer->loop, peer->fd, bytes, count);
        done += count;
    }
    return done;
}

/* ---- events ---- */

static void handshake_done(struct io_event *ev, int result)
{
    struct tls_peer *peer = container_of(ev, struct tls_peer, handshake_done);

    EXPECT(peer->handshake_result == TLS_PEER_PENDING);
    peer->handshake_result = result;
}

static void recv_done(struct io_event *ev, int result)
{
    struct tls_peer *peer = container_of(ev, struct tls_peer, recv_done);

    EXPECT(peer->recv_result == TLS_PEER_PENDING);
    peer->recv_result = result;
    peer->events++;
}

static void send_done(struct io_event *ev, int result)
{
    struct tls_peer *peer = container_of(ev, struct tls_peer, send_done);

    EXPECT(peer->send_result == TLS_PEER_PENDING);
    peer->send_result = result;
    peer->events++;
}

/* ---- both ends ---- */

void tls_peer_attach(struct tls_peer *peer)
{
    peer->handshake_result = peer->recv_result = peer->send_result = TLS_PEER_PENDING;
    peer->handshake_done.fn = handshake_done;
    peer->recv_done.fn = recv_done;
    peer->send_done.fn = send_done;
    peer->transport->recv_done = &peer->recv_done;
    peer->transport->send_done = &peer->send_done;
    gnutls_transport_set_ptr(peer->other, peer);
    gnutls_transport_set_pull_function(peer->other, other_pull);
    gnutls_transport_set_push_function(peer->other, other_push);
}

static void open_server(struct tls_peer *peer)
{
    const struct loop_config config = { .entries = 8 };
    char path[] = "/tmp/nbdcrypt-test-psk.XXXXXX";
    int fd = mkstemp(path);
    struct error err = { .text = "" };

    EXPECT(fd >= 0);
    EXPECT(dprintf(fd, "alice:%s\n", KEY_HEX) > 0);
    close(fd);
    if (tls_open(&peer->tls, &(struct tls_settings){ .psk = path }, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
    unlink(path);
    EXPECT(loop_create(&peer->loop, &config, &err) == 0);
    peer->fd = fake_socket_create(peer->loop);
    const struct transport_tls_settings settings = {
        .loop = peer->loop, .tls = &peer->tls, .buffers = &peer->buffers, .peer = &peer->peer
    };
    EXPECT(transport_tls_create(&peer->transport, &settings, &err) == 0);
}

static void open_client(struct tls_peer *peer, const char *priority)
{
    const gnutls_datum_t key = { (unsigned char *)KEY_HEX, strlen(KEY_HEX) };

    EXPECT(gnutls_psk_allocate_client_credentials(&peer->credentials) == 0);
    EXPECT(gnutls_psk_set_client_credentials(peer->credentials, "alice", &key,
                                             GNUTLS_PSK_KEY_HEX) == 0);
    EXPECT(gnutls_init(&peer->other, GNUTLS_CLIENT | GNUTLS_NONBLOCK) == 0);
    EXPECT(gnutls_priority_set_direct(peer->other, priority != NULL ? priority : PRIORITY_TLS13,
                                      NULL) == 0);
    EXPECT(gnutls_credentials_set(peer->other, GNUTLS_CRD_PSK, peer->credentials) == 0);
}

void tls_peer_open(struct tls_peer *peer, const char *priority)
{
    struct loop_file file;

    *peer = (struct tls_peer){ 0 };
    snprintf(peer->peer.text, sizeof peer->peer.text, "test client");
    open_server(peer);
    open_client(peer, priority);
    tls_peer_attach(peer);
    loop_file_init(peer->loop, &file, peer->fd);
    transport_tls_handshake(peer->transport, &file, &peer->handshake_done);
}

void tls_peer_handshake(struct tls_peer *peer, size_t piece_bytes)
{
    int result = GNUTLS_E_AGAIN;
    bool moved = true;

    while (moved && (result < 0 || peer->handshake_result == TLS_PEER_PENDING)) {
        if (result < 0)
            result = gnutls_handshake(peer->other);
        EXPECT(result == 0 || result == GNUTLS_E_AGAIN);
        moved = false;
        while (tls_peer_feed(peer, piece_bytes) > 0) {
            fake_loop_run(peer->loop);
            moved = true;
        }
        moved |= fake_socket_ready(peer->loop, peer->fd) > 0;
    }
    EXPECT(result == 0 && peer->handshake_result == 0);
}

void tls_peer_connect(struct tls_peer *peer, const char *priority)
{
    tls_peer_open(peer, priority);
    tls_peer_handshake(peer, SIZE_MAX);
}

void tls_peer_detach(struct tls_peer *peer)
{
    peer->transport->ops->abort(peer->transport);
    fake_socket_reset(peer->loop, peer->fd);
    fake_loop_run(peer->loop);
    EXPECT(fake_loop_pending(peer->loop) == 0);
    peer->transport->ops->close(peer->transport);
    tls_buffers_free(&peer->buffers);
    loop_destroy(peer->loop);
    gnutls_deinit(peer->other);
    free(peer->outgoing.data);
}

void tls_peer_close(struct tls_peer *peer)
{
    tls_peer_detach(peer);
    peer_forget_tls(&peer->peer);
    tls_close(&peer->tls);
    gnutls_psk_free_client_credentials(peer->credentials);
}

/* ---- talking ---- */

struct tls_protection *tls_peer_protection(struct tls_peer *peer)
{
    return &container_of(peer->transport, struct tls_transport, transport)->protection;
}

void tls_peer_forge(struct tls_peer *peer, struct tls_record_keys *keys, const void *inner,
                    size_t inner_bytes)
{
    static uint8_t record[5 + TLS_PEER_INNER_BYTES + GCM_TAG_BYTES];
    size_t body_bytes = inner_bytes + GCM_TAG_BYTES;
    uint8_t nonce[GCM_NONCE_BYTES];

    EXPECT(inner_bytes <= TLS_PEER_INNER_BYTES);
    memcpy(record, (uint8_t[]){ 23, 3, 3, (uint8_t)(body_bytes >> 8), (uint8_t)body_bytes }, 5);
    tls_record_keys_nonce(keys, nonce);
    gcm_seal(&keys->gcm, &(struct gcm_text){ nonce, record, 5, inner, inner_bytes, GCM_NO_TRAILER,
                                             record + 5 });
    fake_socket_feed(peer->loop, peer->fd, record, 5 + body_bytes);
}

void tls_peer_say(struct tls_peer *peer, const void *data, size_t length_bytes)
{
    const uint8_t *at = data;

    while (length_bytes > 0) {
        ssize_t count = gnutls_record_send(peer->other, at, length_bytes);

        EXPECT(count > 0);
        at += count;
        length_bytes -= (size_t)count;
    }
}

int tls_peer_ask(struct tls_peer *peer, void *data, uint32_t length_bytes)
{
    peer->recv_result = TLS_PEER_PENDING;
    if (peer->transport->ops->recv(peer->transport, data, length_bytes))
        peer->recv_result = TRANSPORT_FILLED;
    return peer->recv_result;
}

ssize_t tls_peer_hear(struct tls_peer *peer, void *data, size_t length_bytes)
{
    return gnutls_record_recv(peer->other, data, length_bytes);
}

static void take_and_compare(struct tls_peer *peer, const struct iovec **iov, size_t *skip,
                             size_t *left_bytes)
{
    uint8_t bytes[5000];
    ssize_t count;

    while (*left_bytes > 0 && ((count = tls_peer_hear(peer, bytes, sizeof bytes)) > 0 ||
                               fake_socket_ready(peer->loop, peer->fd) > 0)) {
        EXPECT(count > 0 || count == GNUTLS_E_AGAIN); /* after new keys, say */
        if (count < 0)
            continue;
        for (ssize_t i = 0; i < count; i++) {
            while (*skip == (*iov)->iov_len) {
                (*iov)++;
                *skip = 0;
            }
            EXPECT(bytes[i] == ((const uint8_t *)(*iov)->iov_base)[(*skip)++]);
        }
        *left_bytes -= (size_t)count;
    }
}

void tls_peer_expect_received(struct tls_peer *peer, const uint8_t *expected, uint32_t length_bytes)
{
    uint8_t *got = calloc(1, length_bytes);

    EXPECT(got != NULL);
    tls_peer_ask(peer, got, length_bytes);
    while (peer->recv_result == TLS_PEER_PENDING && tls_peer_feed(peer, SIZE_MAX) > 0)
        fake_loop_run(peer->loop);
    fake_loop_run(peer->loop);
    EXPECT(peer->recv_result == TRANSPORT_FILLED);
    EXPECT(memcmp(got, expected, length_bytes) == 0);
    free(got);
}

void tls_peer_expect_sent(struct tls_peer *peer, struct iovec *iov, unsigned iov_count)
{
    struct iovec rest[16];
    const struct iovec *expected = iov;
    size_t skip = 0, left_bytes = 0, unheard_bytes;
    unsigned first = 0;

    EXPECT(iov_count <= 16);
    memcpy(rest, iov, iov_count * sizeof *iov);
    for (unsigned i = 0; i < iov_count; i++)
        left_bytes += iov[i].iov_len;
    unheard_bytes = left_bytes;
    while (left_bytes > 0) {
        peer->send_result = TLS_PEER_PENDING;
        peer->transport->ops->send(peer->transport, rest + first, iov_count - first);
        EXPECT(peer->send_result == TLS_PEER_PENDING); /* never at once */
        while (peer->send_result == TLS_PEER_PENDING) {
            fake_loop_run(peer->loop);
            take_and_compare(peer, &expected, &skip, &unheard_bytes);
        }
        EXPECT(peer->send_result > 0 && (size_t)peer->send_result <= left_bytes);
        left_bytes -= (size_t)peer->send_result;
        for (size_t done = (size_t)peer->send_result; done > 0;) {
            size_t count = done < rest[first].iov_len ? done : rest[first].iov_len;

            rest[first].iov_base = (uint8_t *)rest[first].iov_base + count;
            rest[first].iov_len -= count;
            done -= count;
            first += rest[first].iov_len == 0;
        }
    }
    take_and_compare(peer, &expected, &skip, &unheard_bytes);
    EXPECT(unheard_bytes == 0);
}
