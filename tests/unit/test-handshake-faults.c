/* The handshake when things go wrong: clients that vanish at every byte, operations that fail one
 * by one, bytes that come one by one, windows that are narrow, and garbage. */
#include <errno.h>

#include "tests/support/handshake-client.h"

static struct client client;

/* A long legal conversation: everything that a client may say once. */
static struct {
    size_t length_bytes;
    uint8_t data[8192];
} script;

static void script_bytes(const void *data, size_t length_bytes)
{
    EXPECT(length_bytes <= sizeof script.data - script.length_bytes);
    memcpy(script.data + script.length_bytes, data, length_bytes);
    script.length_bytes += length_bytes;
}

static void script_option(uint32_t option, const struct payload *payload)
{
    const struct nbd_option_header header = { option, (uint32_t)payload->length_bytes };
    uint8_t bytes[NBD_OPTION_HEADER_BYTES];

    nbd_encode_option_header(bytes, &header);
    script_bytes(bytes, sizeof bytes);
    script_bytes(payload->data, payload->length_bytes);
}

static void script_info(uint32_t option)
{
    struct payload payload = { .length_bytes = 0 };

    payload_string(&payload, "db1");
    payload_u16(&payload, 2);
    payload_u16(&payload, NBD_INFO_NAME);
    payload_u16(&payload, NBD_INFO_BLOCK_SIZE);
    script_option(option, &payload);
}

static void script_contexts(uint32_t option)
{
    struct payload payload = { .length_bytes = 0 };

    payload_string(&payload, "db1");
    payload_u32(&payload, 2);
    payload_string(&payload, "base:");
    payload_string(&payload, "base:allocation");
    script_option(option, &payload);
}

static void write_script(void)
{
    static const struct payload empty, unknown = { 1500, "data of an unknown option" };

    script.length_bytes = 0;
    script_bytes("\0\0\0\3", 4);
    script_option(NBD_OPT_STARTTLS, &empty);
    script_option(NBD_OPT_STRUCTURED_REPLY, &empty);
    script_option(NBD_OPT_LIST, &empty);
    script_option(99, &unknown);
    script_contexts(NBD_OPT_LIST_META_CONTEXT);
    script_contexts(NBD_OPT_SET_META_CONTEXT);
    script_info(NBD_OPT_INFO);
    script_info(NBD_OPT_GO);
}

/* What the server answers to the whole script. */
static size_t answer(uint8_t *bytes, size_t room)
{
    size_t count;

    client_open(&client);
    fake_socket_feed(client.loop, client.fd, script.data, script.length_bytes);
    fake_loop_run(client.loop);
    count = fake_socket_take(client.loop, client.fd, bytes, room);
    EXPECT(count < room);
    client_expect_end(&client, HANDSHAKE_TRANSMISSION);
    EXPECT(client.talk.negotiated.contexts == META_CONTEXT_BIT(0));
    client_close(&client);
    return count;
}

/* The same conversation in other pieces gives the same bytes. */
static void expect_same_answer(size_t recv_bytes, size_t send_bytes, size_t window_bytes)
{
    static uint8_t expected[8192], bytes[8192];
    size_t length = answer(expected, sizeof expected), count = 0;

    client_open(&client);
    fake_socket_chunk(client.loop, client.fd, recv_bytes, send_bytes);
    fake_socket_window(client.loop, client.fd, window_bytes);
    fake_socket_feed(client.loop, client.fd, script.data, script.length_bytes);
    while (client.ends == 0) {
        fake_loop_run(client.loop);
        count += fake_socket_take(client.loop, client.fd, bytes + count, sizeof bytes - count);
    }
    EXPECT(count == length && !memcmp(bytes, expected, length));
    client_expect_end(&client, HANDSHAKE_TRANSMISSION);
    client_close(&client);
}

static void byte_by_byte(void)
{
    expect_same_answer(1, 1, 0);
}

static void odd_pieces(void)
{
    for (size_t pieces = 2; pieces < 40; pieces++)
        expect_same_answer(pieces, 41 - pieces, 0);
}

static void narrow_window(void)
{
    expect_same_answer(0, 0, 1);
    expect_same_answer(3, 0, 7);
}

/* Bytes that arrive one by one, each in its own batch. */
static void slow_client(void)
{
    static uint8_t expected[8192], bytes[8192];
    size_t length = answer(expected, sizeof expected);

    client_open(&client);
    for (size_t i = 0; i < script.length_bytes; i++) {
        EXPECT(client.ends == 0);
        fake_socket_feed(client.loop, client.fd, script.data + i, 1);
        fake_loop_run(client.loop);
    }
    EXPECT(fake_socket_take(client.loop, client.fd, bytes, sizeof bytes) == length);
    EXPECT(!memcmp(bytes, expected, length));
    client_expect_end(&client, HANDSHAKE_TRANSMISSION);
    client_close(&client);
}

static void take_all(void)
{
    uint8_t bytes[8192];

    while (fake_socket_take(client.loop, client.fd, bytes, sizeof bytes) > 0)
        ;
}

static void ends_at_every_byte(void)
{
    for (size_t cut = 0; cut < script.length_bytes; cut++) {
        client_open(&client);
        fake_socket_feed(client.loop, client.fd, script.data, cut);
        fake_socket_end(client.loop, client.fd);
        fake_loop_run(client.loop);
        take_all();
        client_expect_end(&client, HANDSHAKE_ABORT);
        client_close(&client);
    }
}

static void vanishes_at_every_byte(void)
{
    for (size_t cut = 0; cut < script.length_bytes; cut++) {
        client_open(&client);
        fake_socket_feed(client.loop, client.fd, script.data, cut);
        fake_loop_run(client.loop);
        EXPECT(client.ends == 0);
        client_break(&client);
        EXPECT(client.ends == 1 && client.result == HANDSHAKE_ABORT);
    }
}

/* The client stops reading in the middle of every reply, then vanishes. */
static void vanishes_at_every_byte_of_a_reply(void)
{
    static uint8_t bytes[8192];
    size_t length = answer(bytes, sizeof bytes);

    for (size_t cut = 1; cut < length; cut++) {
        client_open(&client);
        fake_socket_window(client.loop, client.fd, cut);
        fake_socket_feed(client.loop, client.fd, script.data, script.length_bytes);
        fake_loop_run(client.loop);
        EXPECT(client.ends == 0 && fake_loop_pending(client.loop) == 1);
        client_break(&client);
        EXPECT(client.ends == 1 && client.result == HANDSHAKE_ABORT);
    }
}

/* The connection is aborted by its owner (time is over, the server goes) at every byte. */
static void aborted_at_every_byte(void)
{
    for (size_t cut = 0; cut < script.length_bytes; cut++) {
        struct transport *transport;

        client_open(&client);
        transport = client.talk.transport;
        fake_socket_feed(client.loop, client.fd, script.data, cut);
        fake_loop_run(client.loop);
        transport->ops->abort(transport);
        fake_loop_run(client.loop);
        take_all();
        client_expect_end(&client, HANDSHAKE_ABORT);
        client_close(&client);
    }
}

/* Fails the n-th operation, for every n, until none fails. */
static void fail_every_operation(size_t chunk_bytes, int error)
{
    for (unsigned fail_at = 1;; fail_at++) {
        bool failed;

        client_open_failing(&client, fail_at, error);
        fake_socket_chunk(client.loop, client.fd, chunk_bytes, chunk_bytes);
        fake_socket_feed(client.loop, client.fd, script.data, script.length_bytes);
        fake_loop_run(client.loop);
        failed = fake_loop_operations(client.loop) >= fail_at;
        take_all();
        client_expect_end(&client, failed ? HANDSHAKE_ABORT : HANDSHAKE_TRANSMISSION);
        client_close(&client);
        if (!failed)
            return;
    }
}

static void operations_fail(void)
{
    static const int errors[] = { EIO, ECONNRESET, EPIPE, ENOMEM, ECANCELED, ETIMEDOUT };

    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        fail_every_operation(0, errors[i]);
        fail_every_operation(64, errors[i]);
    }
}

/* ---- garbage ---- */

static uint64_t random_state;

/* xorshift64: the same garbage every time. */
static uint32_t random_u32(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 16);
}

static void finish_garbage(void)
{
    fake_socket_end(client.loop, client.fd);
    fake_loop_run(client.loop);
    take_all();
    EXPECT(client.ends == 1);
    client_close(&client);
}

static void random_bytes(void)
{
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        uint8_t bytes[300];

        random_state = seed;
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)random_u32();
        client_open(&client);
        if (seed % 4 != 0)
            memcpy(bytes, "\0\0\0\3IHAVEOPT\0\0\0", 15);
        fake_socket_feed(client.loop, client.fd, bytes, random_u32() % sizeof bytes);
        fake_loop_run(client.loop);
        finish_garbage();
    }
}

/* The right magic, known options, plausible lengths, and a payload that is nearly right. */
static void random_options(void)
{
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        random_state = seed * 0x9e3779b97f4a7c15u;
        client_start(&client);
        for (unsigned i = 0; i < 20 && client.ends == 0; i++) {
            struct payload payload = { .length_bytes = 0 };
            uint32_t count = random_u32() % 5;

            payload_string(&payload, random_u32() % 2 ? "db1" : "big");
            payload_u16(&payload, random_u32() % 3);
            payload_u16(&payload, random_u32() % 3);
            while (count-- > 0)
                payload_string(&payload, random_u32() % 2 ? "base:" : "base:allocation");
            if (random_u32() % 2)
                payload.data[random_u32() % payload.length_bytes] ^= (uint8_t)random_u32();
            payload.length_bytes -= random_u32() % 3;
            client_option(&client, random_u32() % 13, &payload);
        }
        finish_garbage();
    }
}

/* The legal conversation with one bit wrong. */
static void every_bit_flipped(void)
{
    for (size_t bit = 0; bit < script.length_bytes * 8; bit++) {
        script.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        client_open(&client);
        fake_socket_feed(client.loop, client.fd, script.data, script.length_bytes);
        script.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        fake_loop_run(client.loop);
        finish_garbage();
    }
}

static const struct check checks[] = {
    { "bytes that go one by one change nothing", byte_by_byte },
    { "bytes that go in odd pieces change nothing", odd_pieces },
    { "a client with a narrow window gets every byte", narrow_window },
    { "a client that sends byte by byte is served", slow_client },
    { "a client that ends at any byte is dropped, once", ends_at_every_byte },
    { "a client that vanishes at any byte is dropped, once", vanishes_at_every_byte },
    { "a client that stops reading at any byte is dropped", vanishes_at_every_byte_of_a_reply },
    { "the owner may abort at any byte", aborted_at_every_byte },
    { "every operation may fail", operations_fail },
    { "random bytes end in one end", random_bytes },
    { "random options end in one end", random_options },
    { "any wrong bit ends in one end", every_bit_flipped },
};

int main(int argc, char **argv)
{
    write_script();
    return CHECKS_RUN(checks, argc, argv);
}
