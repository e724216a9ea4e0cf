/* A client that sends anything after, or instead of, what its TLS session makes.
 *
 * The input: one byte (bit 0: the handshake is done first; bit 1: TLS 1.2), then steps of an
 * operation and its bytes: raw bytes on the wire, data in a proper record, a damaged one, a key
 * update, close_notify, the end. The server asks for bytes all the time and answers now and then.
 * With bit 2, if the server protects records itself, nearly all steps are proper records of any
 * type with any content, short or padded to any length, or out of order: they are answered by
 * nothing but an alert.  With bit 3, tickets may come, as at a client's end.
 *
 * How to build and run it: see fuzz-handshake.c. */
#include <stdint.h>

#include "tests/support/check.h"
#include "tests/support/tls-peer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ALERT_BYTES (5 + 2 + 1 + 16)

static uint8_t wanted[40000];

/* The server takes what there is; false: it is over. */
static bool ask_again(struct tls_peer *peer, uint8_t length)
{
    unsigned rounds = 0;

    fake_loop_run(peer->loop);
    while (peer->recv_result == TRANSPORT_FILLED) {
        EXPECT(++rounds < 1000000);
        tls_peer_ask(peer, wanted, (uint32_t)length * 150 + 1);
        if (peer->recv_result != TRANSPORT_FILLED)
            fake_loop_run(peer->loop);
    }
    return peer->recv_result == TLS_PEER_PENDING;
}

static void damage(struct tls_peer *peer, size_t at)
{
    size_t count = pipe_count(&peer->outgoing);

    if (count > 0)
        peer->outgoing.data[peer->outgoing.start + at % count] ^= 1;
}

static void answer(struct tls_peer *peer, size_t length_bytes)
{
    struct iovec iov[2] = { { wanted, 16 }, { wanted, length_bytes } };

    peer->send_result = TLS_PEER_PENDING;
    peer->transport->ops->send(peer->transport, iov, length_bytes > 0 ? 2 : 1);
    fake_loop_run(peer->loop);
    EXPECT(peer->send_result != TLS_PEER_PENDING);
}

/* A record with content that GnuTLS would not put there: under the keys that the server awaits. */
static size_t forge(struct tls_peer *peer, const uint8_t *data, size_t size)
{
    struct tls_record_keys keys = tls_peer_protection(peer)->keys->receiving;
    size_t length = size > 1 ? data[1] % 16 * (data[1] / 16) : 0, rest = size > 2 ? size - 2 : 0;
    static uint8_t inner[TLS_PEER_INNER_BYTES];
    size_t padded = length;

    if (length > rest)
        length = rest;
    if (length > 0)
        memcpy(inner, data + 2, length);
    if (length > 0 && data[0] & 16) /* as a random byte is a good type too seldom */
        inner[length - 1] = (uint8_t)(20 + inner[length - 1] % 5);
    if (size > 1 && data[0] & 32)
        padded = length + data[1] * (sizeof inner - 255) / 256;
    memset(inner + length, 0, padded - length);
    keys.sequence += (data[0] & 0xc0) == 0xc0; /* one is missing */
    tls_peer_forge(peer, &keys, inner, padded);
    return 2 + length;
}

/* One step; how many bytes of the input it used. */
static size_t step(struct tls_peer *peer, const uint8_t *data, size_t size)
{
    size_t length = size > 1 ? data[1] : 0, rest = size > 2 ? size - 2 : 0;

    if (length > rest)
        length = rest;
    switch (data[0] % 8) {
    case 0:
    case 1:
        fake_socket_feed(peer->loop, peer->fd, data + 2, length);
        return 2 + length;
    case 2:
        if (length > 0)
            tls_peer_say(peer, data + 2, length);
        break;
    case 3:
        tls_peer_say(peer, wanted, length * 100 + 1);
        damage(peer, length);
        length = 0;
        break;
    case 4:
        gnutls_session_key_update(peer->other, length % 2 ? GNUTLS_KU_PEER : 0);
        length = 0;
        break;
    case 5:
        answer(peer, length * 120);
        return 2;
    case 6:
        gnutls_bye(peer->other, GNUTLS_SHUT_WR);
        length = 0;
        break;
    default:
        fake_socket_end(peer->loop, peer->fd);
        return 2 + length;
    }
    tls_peer_feed(peer, SIZE_MAX);
    return 2 + length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tls_peer peer;
    size_t used = 2;

    if (size < 2)
        return 0;
    tls_peer_open(&peer, data[0] & 2 ? "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+ECDHE-PSK" : NULL);
    if (!(data[0] & 1)) {
        fake_socket_feed(peer.loop, peer.fd, data + 1, size - 1);
        fake_loop_run(peer.loop);
        tls_peer_close(&peer);
        return 0;
    }
    tls_peer_handshake(&peer, SIZE_MAX);
    tls_peer_protection(&peer)->tickets = data[0] & 8;
    fake_socket_chunk(peer.loop, peer.fd, data[1], 0);
    peer.recv_result = TRANSPORT_FILLED;
    while (used < size && ask_again(&peer, data[1])) {
        bool forging =
            data[0] & 4 && tls_peer_protection(&peer)->gcm != NULL && data[used] % 8 != 5;
        size_t count = forging ? forge(&peer, data + used, size - used)
                               : step(&peer, data + used, size - used);

        used += count < size - used ? count : size - used;
        size_t said_bytes = 0, taken;
        while ((taken = fake_socket_take(peer.loop, peer.fd, wanted, sizeof wanted)) > 0)
            said_bytes += taken;
        EXPECT(!forging || said_bytes <= ALERT_BYTES);
    }
    tls_peer_close(&peer);
    return 0;
}

#ifdef FUZZ_STANDALONE

#define RANDOM_INPUTS 400u

int main(void)
{
    uint8_t input[2000];
    unsigned seed = 1;

    for (unsigned i = 0; i < RANDOM_INPUTS; i++) {
        for (size_t k = 0; k < sizeof input; k++)
            input[k] = (uint8_t)rand_r(&seed);
        input[0] |= i % 4 != 0;
        LLVMFuzzerTestOneInput(input, (size_t)rand_r(&seed) % sizeof input);
    }
    return EXIT_SUCCESS;
}

#endif
