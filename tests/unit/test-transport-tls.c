/* The byte stream under TLS on the fake loop, against a client of GnuTLS: pieces of any size,
 * damage at any byte, new keys, ends of every kind. */
#include <errno.h>

#include "crypto/cpu-features.h"
#include "server/base/tally.h"

#include "tests/support/check.h"
#include "tests/support/tls-peer.h"

#define TLS12 "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+ECDHE-PSK:%SAFE_RENEGOTIATION"

static uint8_t pattern[600000];

static void fill_pattern(void)
{
    unsigned seed = 5;

    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = (uint8_t)rand_r(&seed);
}

/* Between the answer to STARTTLS and the first record, as long as the client does not read it. */
static void switched_off_meanwhile(void)
{
    struct transport *transport;
    struct tls_peer peer;
    struct error err;

    tls_peer_open(&peer, NULL);
    const struct transport_tls_settings settings = {
        .loop = peer.loop, .tls = &peer.tls, .buffers = &peer.buffers, .peer = &peer.peer
    };
    tls_use(&peer.tls, &(struct tls_settings){ 0 }, NULL);
    EXPECT(transport_tls_create(&transport, &settings, &err) == -ESHUTDOWN);
    tls_peer_close(&peer);
}

static void handshake_in_pieces(void)
{
    static const size_t pieces[] = { 1, 2, 3, 5, 6, 100, 1000000 };
    static const char *const priorities[] = { NULL, TLS12 };

    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++)
        for (size_t k = 0; k < 2; k++) {
            struct tls_peer peer;

            tls_peer_open(&peer, priorities[k]);
            tls_peer_handshake(&peer, pieces[i]);
            EXPECT(peer.peer.encrypted && peer.peer.proof == PEER_PSK);
            EXPECT_TEXT(peer.peer.identity, "alice");
            /* TLS 1.2 has no AES-GCM with ECDHE-PSK in GnuTLS. */
            EXPECT(k == 1 || gnutls_cipher_get(peer.other) == GNUTLS_CIPHER_AES_128_GCM ||
                   !cpu_has_aes());
            tls_peer_close(&peer);
        }
}

static void pieces_of_any_size(void)
{
    static const size_t chunks[] = { 0, 1, 7, 4096, 16406, 16407 };
    static const uint32_t lengths[] = { 1, 28, 4096, 8192, 16383, 16384, 16385, 100000, 300000 };

    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
        struct tls_peer peer;
        const uint8_t *at = pattern;

        tls_peer_connect(&peer, NULL);
        fake_socket_chunk(peer.loop, peer.fd, chunks[i], chunks[i]);
        for (size_t k = 0; k < sizeof lengths / sizeof lengths[0]; k++) {
            if (chunks[i] == 1 && lengths[k] > 20000)
                continue;
            tls_peer_say(&peer, at, lengths[k]);
            tls_peer_expect_received(&peer, at, lengths[k]);
            struct iovec iov[4] = {
                { (void *)(uintptr_t)at, lengths[k] / 3 },
                { (void *)(uintptr_t)(at + 1), 1 },
                { (void *)(uintptr_t)(at + 2), lengths[k] },
                { (void *)(uintptr_t)(at + 3), 16 },
            };
            tls_peer_expect_sent(&peer, iov, 4);
        }
        tls_peer_close(&peer);
    }
}

/* One record that the client said is asked for in two parts: the second is there at once. */
static void parts_of_a_record(void)
{
    struct tls_peer peer;
    uint8_t got[1000];

    tls_peer_connect(&peer, NULL);
    tls_peer_say(&peer, pattern, 1000);
    tls_peer_expect_received(&peer, pattern, 28);
    EXPECT(peer.transport->ops->has_unread(peer.transport));
    EXPECT(tls_peer_ask(&peer, got, 972) == TRANSPORT_FILLED);
    EXPECT(memcmp(got, pattern + 28, 972) == 0);
    EXPECT(!peer.transport->ops->has_unread(peer.transport));
    EXPECT(tls_peer_ask(&peer, got, 1) == TLS_PEER_PENDING);
    tls_peer_close(&peer);
}

/* Nothing stays behind of a large receive that never ends: tls_peer_close() looks. */
static void closed_in_the_middle(void)
{
    struct tls_peer peer;
    static uint8_t got[200000];

    tls_peer_connect(&peer, NULL);
    tls_peer_say(&peer, pattern, sizeof got);
    tls_peer_feed(&peer, 50000);
    EXPECT(tls_peer_ask(&peer, got, sizeof got) == TLS_PEER_PENDING);
    fake_loop_run(peer.loop);
    EXPECT(peer.recv_result == TLS_PEER_PENDING);
    tls_peer_close(&peer);

    /* And of one of which a part was asked for. */
    tls_peer_connect(&peer, NULL);
    tls_peer_say(&peer, pattern, sizeof got);
    EXPECT(tls_peer_ask(&peer, got, 20000) == TLS_PEER_PENDING);
    tls_peer_feed(&peer, SIZE_MAX);
    fake_loop_run(peer.loop);
    EXPECT(peer.recv_result == TRANSPORT_FILLED && memcmp(got, pattern, 20000) == 0);
    tls_peer_close(&peer);
}

/* The record ends after each number of its bytes. */
static void cut_at_every_byte(void)
{
    for (size_t cut = 0;; cut++) {
        struct tls_peer peer;
        uint8_t got[64];

        tls_peer_connect(&peer, NULL);
        tls_peer_say(&peer, pattern, sizeof got);
        size_t whole = pipe_count(&peer.outgoing);
        tls_peer_feed(&peer, cut);
        EXPECT(tls_peer_ask(&peer, got, sizeof got) == TLS_PEER_PENDING);
        fake_loop_run(peer.loop);
        EXPECT((peer.recv_result == TRANSPORT_FILLED) == (cut == whole));
        if (cut == whole) {
            tls_peer_ask(&peer, got, sizeof got);
            fake_loop_run(peer.loop);
        }
        EXPECT(peer.recv_result == TLS_PEER_PENDING);
        fake_socket_end(peer.loop, peer.fd); /* without close_notify */
        fake_loop_run(peer.loop);
        EXPECT(peer.recv_result == -ECONNRESET);
        /* And so it stays, without a spin. */
        EXPECT(tls_peer_ask(&peer, got, 1) == TLS_PEER_PENDING);
        fake_loop_run(peer.loop);
        EXPECT(peer.recv_result == -ECONNRESET);
        tls_peer_close(&peer);
        if (cut == whole)
            return;
    }
}

static void damaged_at_every_byte(void)
{
    for (size_t at = 0; at < 64 + 22; at++) {
        struct tls_peer peer;
        uint8_t got[64];

        tls_peer_connect(&peer, NULL);
        tls_peer_say(&peer, pattern, sizeof got);
        EXPECT(pipe_count(&peer.outgoing) == 64 + 22);
        peer.outgoing.data[peer.outgoing.start + at] ^= 0x40;
        tls_peer_feed(&peer, SIZE_MAX);
        tls_peer_ask(&peer, got, sizeof got);
        fake_loop_run(peer.loop);
        fake_socket_end(peer.loop, peer.fd); /* for a length that promises more */
        fake_loop_run(peer.loop);
        EXPECT(peer.recv_result == -ECONNRESET);
        tls_peer_close(&peer);
    }
}

static void oversized_record(void)
{
    static const uint8_t header[] = { 23, 3, 3, 0x48, 0x01 };
    struct tls_peer peer;
    uint8_t got[64];

    tls_peer_connect(&peer, NULL);
    fake_socket_feed(peer.loop, peer.fd, header, sizeof header);
    tls_peer_ask(&peer, got, sizeof got);
    fake_loop_run(peer.loop);
    EXPECT(peer.recv_result == -ECONNRESET);
    EXPECT(tls_peer_hear(&peer, got, sizeof got) == GNUTLS_E_FATAL_ALERT_RECEIVED);
    EXPECT(gnutls_alert_get(peer.other) == GNUTLS_A_RECORD_OVERFLOW);
    tls_peer_close(&peer);
}

static void orderly_ends(void)
{
    struct tls_peer peer;
    uint8_t got[64];

    tls_peer_connect(&peer, NULL);
    tls_peer_ask(&peer, got, sizeof got);
    gnutls_bye(peer.other, GNUTLS_SHUT_WR);
    tls_peer_feed(&peer, SIZE_MAX);
    fake_loop_run(peer.loop);
    EXPECT(peer.recv_result == TRANSPORT_END);
    /* It still reads. */
    tls_peer_expect_sent(&peer, &(struct iovec){ pattern, 1000 }, 1);
    peer.transport->ops->finish(peer.transport);
    EXPECT(tls_peer_hear(&peer, got, sizeof got) == 0);
    tls_peer_close(&peer);

    tls_peer_connect(&peer, NULL);
    tls_peer_say(&peer, pattern, 10);
    gnutls_bye(peer.other, GNUTLS_SHUT_WR);
    tls_peer_feed(&peer, SIZE_MAX);
    tls_peer_ask(&peer, got, sizeof got);
    fake_loop_run(peer.loop);
    EXPECT(peer.recv_result == -ECONNRESET); /* in the middle of what was asked for */
    tls_peer_close(&peer);
}

/* New keys of both sides, asked for by the client, while the server's send is in flight. */
static void new_keys(void)
{
    uint64_t by_us = tally_get(TALLY_TLS_KEY_UPDATES_BY_US);
    uint64_t by_peer = tally_get(TALLY_TLS_KEY_UPDATES_BY_PEER);
    struct tls_peer peer;

    tls_peer_connect(&peer, NULL);
    for (int i = 0; i < 7; i++) {
        struct iovec iov = { pattern, 200000 };

        fake_socket_window(peer.loop, peer.fd, 1000);
        peer.send_result = TLS_PEER_PENDING;
        peer.transport->ops->send(peer.transport, &iov, 1);
        fake_loop_run(peer.loop);
        EXPECT(peer.send_result == TLS_PEER_PENDING);
        EXPECT(gnutls_session_key_update(peer.other, i % 2 ? GNUTLS_KU_PEER : 0) == 0);
        tls_peer_say(&peer, pattern + i, 5000);
        tls_peer_expect_received(&peer, pattern + i, 5000);
        fake_socket_window(peer.loop, peer.fd, 0);
        for (size_t heard = 0; heard < 200000;) {
            static uint8_t got[20000];
            ssize_t count = tls_peer_hear(&peer, got, sizeof got);

            fake_loop_run(peer.loop);
            EXPECT(count > 0 || count == GNUTLS_E_AGAIN);
            EXPECT(count < 0 || memcmp(got, pattern + heard, (size_t)count) == 0);
            heard += count > 0 ? (size_t)count : 0;
        }
        EXPECT(peer.send_result == 200000);
        tls_peer_expect_sent(&peer, &(struct iovec){ pattern + i, 30000 }, 1);
    }
    EXPECT(tally_get(TALLY_TLS_KEY_UPDATES_BY_PEER) - by_peer == 7);
    EXPECT(tally_get(TALLY_TLS_KEY_UPDATES_BY_US) - by_us == 3);
    tls_peer_close(&peer);
}

static void renegotiation_is_refused(void)
{
    struct tls_peer peer;
    uint8_t got[64];

    tls_peer_connect(&peer, TLS12);
    tls_peer_say(&peer, pattern, 28);
    tls_peer_expect_received(&peer, pattern, 28);
    tls_peer_ask(&peer, got, sizeof got);
    EXPECT(gnutls_handshake(peer.other) == GNUTLS_E_AGAIN);
    tls_peer_feed(&peer, SIZE_MAX);
    fake_loop_run(peer.loop);
    EXPECT(peer.recv_result == -ECONNRESET);
    tls_peer_close(&peer);
}

/* Each operation of a session fails in turn. */
static void any_operation_fails(void)
{
    for (unsigned nth = 1; nth < 20; nth++) {
        struct tls_peer peer;
        struct iovec iov = { pattern, 50000 };
        uint8_t got[64];

        tls_peer_connect(&peer, NULL);
        fake_loop_fail(peer.loop, nth, EIO);
        tls_peer_say(&peer, pattern, sizeof got);
        tls_peer_feed(&peer, SIZE_MAX);
        tls_peer_ask(&peer, got, sizeof got);
        peer.send_result = TLS_PEER_PENDING;
        peer.transport->ops->send(peer.transport, &iov, 1);
        fake_loop_run(peer.loop);
        EXPECT(peer.recv_result == (nth == 1 ? -EIO : TRANSPORT_FILLED));
        EXPECT(peer.send_result == (nth == 2 ? -EIO : 50000));
        EXPECT(peer.events == 2);
        tls_peer_close(&peer);
    }
}

/* The client goes, or the socket breaks, at each step of the handshake: one event, an error. */
static void handshake_ends_anywhere(void)
{
    for (size_t cut = 0; cut < 700; cut += cut < 10 || cut > 320 ? 1 : 10) {
        struct tls_peer peer;
        int result;

        tls_peer_open(&peer, NULL);
        for (size_t fed = 0; fed < cut;) {
            result = gnutls_handshake(peer.other);
            size_t count = tls_peer_feed(&peer, cut - fed);

            fake_loop_run(peer.loop);
            fed += count;
            if (count == 0)
                break;
        }
        if (peer.handshake_result == TLS_PEER_PENDING) {
            fake_socket_end(peer.loop, peer.fd);
            fake_loop_run(peer.loop);
            EXPECT(peer.handshake_result < 0 && peer.handshake_result != TLS_PEER_PENDING);
            EXPECT(!peer.peer.encrypted);
        }
        (void)result;
        tls_peer_close(&peer);
    }
}

static const struct check checks[] = {
    { "a handshake succeeds whatever the size of the pieces", handshake_in_pieces },
    { "TLS that is switched off before it begins is an error", switched_off_meanwhile },
    { "bytes arrive in order whatever the size of the pieces", pieces_of_any_size },
    { "a record may be asked for in parts", parts_of_a_record },
    { "a transport may be closed in the middle of a large receive", closed_in_the_middle },
    { "a record that is cut off anywhere is a broken connection", cut_at_every_byte },
    { "a record that is damaged anywhere is a broken connection", damaged_at_every_byte },
    { "a record that is too long is a broken connection", oversized_record },
    { "close_notify is an end, in both directions", orderly_ends },
    { "keys may change in both directions while a send is in flight", new_keys },
    { "renegotiation is refused", renegotiation_is_refused },
    { "any operation may fail", any_operation_fails },
    { "a handshake that is cut off anywhere ends once, with an error", handshake_ends_anywhere },
};

int main(int argc, char **argv)
{
    fill_pattern();
    return CHECKS_RUN(checks, argc, argv);
}
