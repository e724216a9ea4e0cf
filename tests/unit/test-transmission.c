/* A whole connection on the fake loop and the fake backend: commands in, replies out, whatever
 * fails on the way. */
#include <errno.h>
#include <pthread.h>

#include "tests/support/check.h"
#include "tests/support/fake-server.h"

/* ---- claims ---- */

static void out_of_order(void)
{
    unsigned seed = 7;
    bool answered[64] = { false };

    fake_server_open();
    int fd = fake_client_attach(false);
    server.backend.hold = true;
    for (unsigned i = 0; i < 64; i++)
        fake_client_send(fd, NBD_CMD_READ, i, i * 8192, 4096);
    fake_loop_run(server.loop);
    EXPECT(server.backend.held_count == 64);
    while (server.backend.held_count > 0) {
        fake_backend_release(&server.backend, (unsigned)rand_r(&seed) % server.backend.held_count);
        fake_loop_run(server.loop);
    }
    for (unsigned i = 0; i < 64; i++) {
        uint64_t cookie;

        EXPECT(fake_client_take_simple(fd, &cookie) == 0);
        EXPECT(cookie < 64 && !answered[cookie]);
        answered[cookie] = true;
        fake_client_expect_data(fd, cookie * 8192, 4096);
    }
    fake_client_leave(fd);
    fake_server_close();
}

static void large_reads_in_order(void)
{
    unsigned seed = 3;
    uint32_t length = 5u << 20;

    fake_server_open();
    int fd = fake_client_attach(false);
    server.backend.hold = true;
    fake_client_send(fd, NBD_CMD_READ, 1, 4096, length);
    fake_client_send(fd, NBD_CMD_READ, 2, 0, 512);
    fake_client_send(fd, NBD_CMD_READ, 3, 8192, length);
    for (;;) {
        fake_loop_run(server.loop);
        if (server.backend.held_count == 0)
            break;
        EXPECT(server.backend.held_count <= 2 * HOLDINGS_FRAGMENTS_MAX + 1);
        fake_backend_release(&server.backend, (unsigned)rand_r(&seed) % server.backend.held_count);
    }
    bool seen[4] = { false };
    for (unsigned i = 0; i < 3; i++) {
        uint64_t cookie;

        EXPECT(fake_client_take_simple(fd, &cookie) == 0);
        EXPECT(cookie >= 1 && cookie <= 3 && !seen[cookie]);
        seen[cookie] = true;
        fake_client_expect_data(fd,
                                cookie == 1   ? 4096
                                : cookie == 2 ? 0
                                              : 8192,
                                cookie == 2 ? 512 : length);
    }
    fake_client_leave(fd);
    fake_server_close();
}

static void large_structured_reads(void)
{
    unsigned seed = 3;
    uint32_t length = 32u << 20;

    fake_server_open();
    int fd = fake_client_attach(true);
    server.backend.hold = true;
    fake_client_send(fd, NBD_CMD_READ, 9, 123, length);
    for (;;) {
        fake_loop_run(server.loop);
        if (server.backend.held_count == 0)
            break;
        fake_backend_release(&server.backend, (unsigned)rand_r(&seed) % server.backend.held_count);
    }
    EXPECT(fake_client_take_read(fd, 9, length) == 0);
    fake_client_leave(fd);
    fake_server_close();
}

static void every_backend_failure(void)
{
    for (unsigned structured = 0; structured < 2; structured++)
        for (unsigned fail_at = 1;; fail_at++) {
            uint32_t length = 1u << 20;
            bool fired;

            fake_server_open();
            int fd = fake_client_attach(structured);
            server.backend.fail_at = fail_at;
            fake_client_write(fd, 1, 1000, length, 5);
            fake_client_send(fd, NBD_CMD_FLUSH, 2, 0, 0);
            fake_loop_run(server.loop);
            if (structured) { /* answered with chunks NONE or ERROR */
                uint8_t bytes[2 * NBD_CHUNK_HEADER_BYTES + 2 * 256];
                size_t got = fake_socket_take(server.loop, fd, bytes, sizeof bytes);

                EXPECT(got >= 2 * NBD_CHUNK_HEADER_BYTES);
                fired = server.backend.seen >= fail_at;
                EXPECT((got > 2 * NBD_CHUNK_HEADER_BYTES) == fired);
            } else {
                uint64_t cookie;
                uint32_t first = fake_client_take_simple(fd, &cookie);

                EXPECT(cookie == 1);
                uint32_t second = fake_client_take_simple(fd, &cookie);
                EXPECT(cookie == 2);
                fired = server.backend.seen >= fail_at;
                EXPECT((first != 0) + (second != 0) == (fired ? 1 : 0));
            }
            server.backend.fail_at = 0;
            fake_client_send(fd, NBD_CMD_READ, 3, 0, 512); /* the connection goes on */
            if (structured) {
                EXPECT(fake_client_take_read(fd, 3, 512) == 0);
            } else {
                fake_client_expect_simple(fd, 3, 0);
                fake_client_expect_data(fd, 0, 512);
            }
            fake_client_leave(fd);
            fake_server_close();
            if (!fired)
                break;
        }
}

/* A large read that fails: an error when nothing was sent, else the end of the connection. */
static void failing_large_reads(void)
{
    for (unsigned fail_at = 1; fail_at <= 9; fail_at++) {
        fake_server_open();
        int fd = fake_client_attach(false);
        server.backend.fail_at = fail_at;
        fake_client_send(fd, NBD_CMD_READ, 1, 0, 2u << 20);
        fake_loop_run(server.loop);
        if (fail_at == 1 || fail_at > 8) {
            fake_client_expect_simple(fd, 1, fail_at == 1 ? NBD_EIO : 0);
            fake_client_leave(fd);
        } else {
            EXPECT(
                fake_socket_closed(server.loop, fd)); /* "success" has been said: it breaks off */
        }
        fake_server_close();

        fake_server_open();
        fd = fake_client_attach(true);
        server.backend.fail_at = fail_at;
        fake_client_send(fd, NBD_CMD_READ, 1, 0, 2u << 20);
        EXPECT(fake_client_take_read(fd, 1, 2u << 20) == (fail_at > 8 ? 0 : NBD_EIO));
        fake_client_leave(fd);
        fake_server_close();
    }
}

/* A conversation with all kinds of commands, as bytes. */
static size_t conversation(uint8_t *out, bool structured)
{
    size_t used = fake_client_handshake(out, structured);
    static const struct nbd_request requests[] = {
        { .command = NBD_CMD_READ, .cookie = 1, .length_bytes = 700 },
        { .command = NBD_CMD_WRITE, .cookie = 2, .offset_bytes = 99, .length_bytes = 600 },
        { .command = NBD_CMD_WRITE_ZEROES, .cookie = 3, .length_bytes = 100 },
        { .command = NBD_CMD_WRITE,
          .cookie = 4,
          .offset_bytes = FAKE_DISK_BYTES,
          .length_bytes = 50 },
        { .command = NBD_CMD_READ, .cookie = 5, .length_bytes = 1u << 20 },
        { .command = NBD_CMD_FLUSH, .cookie = 6 },
        { .command = NBD_CMD_DISC },
    };

    for (unsigned i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        nbd_encode_request(out + used, &requests[i]);
        used += NBD_REQUEST_BYTES;
        if (requests[i].command == NBD_CMD_WRITE) {
            memset(out + used, 0x77, requests[i].length_bytes);
            used += requests[i].length_bytes;
        }
    }
    return used;
}

static void vanishing_at_every_byte(void)
{
    static uint8_t bytes[4096];

    for (unsigned structured = 0; structured < 2; structured++) {
        size_t all = conversation(bytes, structured);

        fake_server_open();
        for (size_t cut = 0; cut <= all; cut++) {
            if (cut % 50 == 49) { /* the fake loop has room for some dozens of sockets */
                fake_server_close();
                fake_server_open();
            }
            int fd = fake_client_connect();
            server.backend.hold = cut % 2;
            fake_socket_feed(server.loop, fd, bytes, cut);
            fake_loop_run(server.loop);
            if (cut % 3 == 0)
                fake_socket_end(server.loop, fd);
            else
                fake_socket_reset(server.loop, fd);
            fake_loop_run(server.loop);
            fake_backend_release_all(&server.backend);
            fake_loop_run(server.loop);
            EXPECT(server.worker.connections == NULL);
        }
        fake_server_close();
    }
}

static void every_operation_fails(void)
{
    static uint8_t bytes[4096];

    for (unsigned structured = 0; structured < 2; structured++)
        for (unsigned nth = 1;; nth++) {
            size_t all = conversation(bytes, structured);

            fake_server_open();
            fake_loop_fail(server.loop, nth, ECONNRESET);
            int fd = fake_client_connect();
            fake_socket_feed(server.loop, fd, bytes, all);
            fake_loop_run(server.loop);
            bool fired = fake_loop_operations(server.loop) >= nth;
            EXPECT(server.worker.connections == NULL);
            fake_server_close();
            if (!fired)
                break;
        }
}

static void *ten_thousand(void *unused)
{
    fake_server_open();
    int fd = fake_client_attach(false);
    for (unsigned i = 0; i < 10000; i++)
        fake_client_send(fd, NBD_CMD_READ, i, i * 512, 512);
    for (unsigned i = 0; i < 10000; i++) {
        fake_client_expect_simple(fd, i, 0);
        fake_client_expect_data(fd, i * 512, 512);
    }
    fake_client_leave(fd);
    fake_server_close();
    return unused;
}

/* The fake backend completes inline: with recursion the small stack would not do. */
static void inline_completions(void)
{
    pthread_attr_t attributes;
    pthread_t thread;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 256 * 1024);
    EXPECT(pthread_create(&thread, &attributes, ten_thousand, NULL) == 0);
    EXPECT(pthread_join(thread, NULL) == 0);
    pthread_attr_destroy(&attributes);
}

static void stalled_clients(void)
{
    int stalled[40];

    fake_server_open();
    for (unsigned i = 0; i < 40; i++) {
        stalled[i] = fake_client_attach(i % 2);
        fake_socket_window(server.loop, stalled[i], 1000);
        for (unsigned k = 0; k < 100; k++)
            fake_client_send(stalled[i], NBD_CMD_READ, k, 0, 256 * 1024);
    }
    fake_loop_run(server.loop);
    for (struct connection *c = server.worker.connections; c != NULL; c = c->next)
        EXPECT(c->transmission->holds.bytes <= HOLDINGS_BYTES_MAX);

    int fd = fake_client_attach(false); /* 40 clients ask for 1 GB and read nothing of it */
    for (unsigned i = 0; i < 100; i++) {
        fake_client_send(fd, NBD_CMD_READ, i, i * 4096, 128 * 1024);
        fake_client_expect_simple(fd, i, 0);
        fake_client_expect_data(fd, i * 4096, 128 * 1024);
    }
    fake_client_leave(fd);
    fake_socket_window(server.loop, stalled[0], 1u << 30); /* it wakes up and gets all of it */
    for (unsigned k = 0; k < 100; k++) {
        fake_client_expect_simple(stalled[0], k, 0);
        fake_client_expect_data(stalled[0], 0, 256 * 1024);
    }
    for (unsigned i = 0; i < 40; i++)
        fake_socket_reset(server.loop, stalled[i]);
    fake_server_close();
}

static void refused_payload(void)
{
    fake_server_open();
    int fd = fake_client_attach(false);
    server.ex.limits.read_only = true;
    fake_client_write(fd, 1, 0, 100000, 1);
    fake_client_send(fd, NBD_CMD_READ, 2, 0, 16);
    fake_client_expect_simple(fd, 1, NBD_EPERM);
    fake_client_expect_simple(fd, 2, 0);
    fake_client_expect_data(fd, 0, 16);
    fake_client_leave(fd);
    fake_server_close();
}

static void drain(void)
{
    fake_server_open();
    int fd = fake_client_attach(false);
    int idle = fake_client_attach(true);
    server.backend.hold = true;
    fake_client_write(fd, 1, 0, 4096, 0x33);
    fake_loop_run(server.loop);
    server.worker.shutting_down = true;
    for (struct connection *c = server.worker.connections, *next; c != NULL; c = next) {
        next = c->next;
        connection_shutdown(c);
    }
    fake_client_send(fd, NBD_CMD_READ, 2, 0, 512);
    fake_loop_run(server.loop);
    EXPECT(fake_socket_finished(server.loop, idle));
    EXPECT(!fake_socket_finished(server.loop, fd));
    fake_backend_release_all(&server.backend);
    fake_loop_run(server.loop);
    fake_client_expect_simple(fd, 1, 0);
    EXPECT(fake_socket_ready(server.loop, fd) ==
           0); /* who connects again may ask for it once more */
    EXPECT(server.backend.disk[0] == 0x33);
    EXPECT(fake_socket_finished(server.loop, fd));
    EXPECT(!fake_socket_closed(server.loop, fd)); /* the client may still read what is on its way */
    fake_socket_end(server.loop, fd);
    fake_socket_end(server.loop, idle);
    fake_server_close();
}

/* The server learns of the shutdown before it has read what the client sent. */
static void drain_of_unread_commands(void)
{
    fake_server_open();
    int fd = fake_client_attach(false);
    server.worker.shutting_down = true;
    fake_client_send(fd, NBD_CMD_READ, 1, 0, 512);
    connection_shutdown(server.worker.connections);
    fake_loop_run(server.loop);
    EXPECT(fake_socket_ready(server.loop, fd) == 0);
    EXPECT(fake_socket_finished(server.loop, fd));
    fake_socket_end(server.loop, fd);
    fake_server_close();
}

/* A client that goes on writing has not read yet that the server goes: it keeps its place in the
 * stream, and what it writes its place in the requests. */
static void writes_behind_the_end(void)
{
    fake_server_open();
    int fd = fake_client_attach(false);
    server.worker.shutting_down = true;
    connection_shutdown(server.worker.connections);
    fake_loop_run(server.loop);
    EXPECT(fake_socket_finished(server.loop, fd));
    for (uint64_t cookie = 1; cookie < 4; cookie++)
        fake_client_write(fd, cookie, 0, 100000, 0x33); /* its bytes are no requests */
    fake_loop_run(server.loop);
    EXPECT(!fake_socket_closed(server.loop, fd));
    EXPECT(server.backend.disk[0] != 0x33);
    fake_socket_end(server.loop, fd);
    fake_server_close();
}

/* Whatever breaks while the server goes down, it goes down. */
static void every_operation_fails_in_a_drain(void)
{
    for (unsigned nth = 1;; nth++) {
        fake_server_open();
        int fd = fake_client_attach(nth % 2);
        server.backend.hold = true;
        fake_client_write(fd, 1, 0, 4096, 0x33);
        fake_client_send(fd, NBD_CMD_READ, 2, 0, 600000);
        fake_loop_run(server.loop);
        fake_loop_fail(server.loop, nth, EPIPE);
        server.worker.shutting_down = true;
        connection_shutdown(server.worker.connections);
        fake_client_send(fd, NBD_CMD_FLUSH, 3, 0, 0);
        fake_loop_run(server.loop);
        fake_backend_release_all(&server.backend);
        fake_loop_run(server.loop);
        bool fired = fake_loop_operations(server.loop) >= nth;
        EXPECT(server.backend.disk[0] == 0x33); /* what was accepted was done */
        fake_socket_end(server.loop, fd);
        fake_server_close();
        if (!fired)
            return;
    }
}

static void drain_of_a_stalled_client(void)
{
    fake_server_open();
    int fd = fake_client_attach(false);
    fake_socket_window(server.loop, fd, 100);
    fake_client_send(fd, NBD_CMD_READ, 1, 0, 65536);
    fake_loop_run(server.loop);
    server.worker.shutting_down = true;
    struct connection *connection = server.worker.connections;
    connection_shutdown(connection);
    fake_loop_run(server.loop);
    unsigned ticks = 0;
    while (!fake_socket_closed(server.loop, fd) && ticks++ < 1000) {
        fake_timer_fire(server.loop, &connection->timer);
        fake_loop_run(server.loop);
    }
    EXPECT(ticks * DRAIN_TICK_MS >= 4000 && ticks * DRAIN_TICK_MS <= 6000);
    fake_server_close();
}

static void handshake_timeout(void)
{
    fake_server_open();
    int fd = fake_client_connect();
    fake_loop_run(server.loop);
    EXPECT(fake_timer_ms(server.loop, &server.worker.connections->timer) == 10000);
    fake_timer_fire(server.loop, &server.worker.connections->timer);
    fake_loop_run(server.loop);
    EXPECT(fake_socket_closed(server.loop, fd));
    fake_server_close();
}

/* ---- turns ---- */

#define CROWD 150u

static int attach_crowd(void)
{
    fake_server_open();
    int fd = fake_client_attach(false);
    for (unsigned i = 0; i < CROWD; i++)
        fake_client_send(fd, NBD_CMD_WRITE_ZEROES, i, i * 4096, 4096);
    return fd;
}

static void take_crowd(int fd, unsigned count)
{
    uint64_t cookie;

    for (unsigned i = 0; i < count; i++)
        (void)fake_client_take_simple(fd, &cookie);
}

/* What has come in one piece is begun bit by bit, and all of it is answered. */
static void turns(void)
{
    int fd = attach_crowd();

    for (unsigned seen = 0; server.backend.seen < CROWD; seen = server.backend.seen) {
        EXPECT(fake_loop_step(server.loop));
        EXPECT(server.backend.seen - seen <= 2 * TRANSMISSION_TURN_COMMANDS);
    }
    fake_client_send(fd, NBD_CMD_DISC, 0, 0, 0);
    fake_loop_run(server.loop);
    take_crowd(fd, CROWD);
    fake_server_close();
}

/* Whatever comes between two turns: the client is lost, or the server is to end. */
static void between_turns(void)
{
    for (unsigned when = 1; when < 16; when++) {
        for (unsigned how = 0; how < 2; how++) {
            int fd = attach_crowd();

            for (unsigned i = 0; i < when; i++)
                (void)fake_loop_step(server.loop);
            struct connection *connection = server.worker.connections;
            if (how == 0)
                fake_socket_reset(server.loop, fd);
            else
                transmission_shutdown(connection->transmission);
            if (how == 0)
                transmission_abort(connection->transmission);
            fake_loop_run(server.loop);
            if (how == 1) {
                take_crowd(fd, server.backend.seen); /* those that had begun */
                EXPECT(fake_socket_ready(server.loop, fd) == 0);
                EXPECT(fake_socket_finished(server.loop, fd));
                fake_socket_end(server.loop, fd);
                fake_loop_run(server.loop);
            }
            fake_server_close();
        }
    }
}

static const struct check checks[] = {
    { "commands that come in one piece are begun in turns, and all of them are answered", turns },
    { "between two turns a client may be lost, and the server may end", between_turns },
    { "replies leave in the order in which the backend finishes", out_of_order },
    { "large reads in simple replies are whole and in order, whatever finishes first",
      large_reads_in_order },
    { "a structured read of 32 MiB covers its range once, in a bounded window",
      large_structured_reads },
    { "whichever request of the backend fails, each command is answered once",
      every_backend_failure },
    { "a large read that fails is an error or the end, never wrong data", failing_large_reads },
    { "a client that vanishes at any byte leaves nothing behind", vanishing_at_every_byte },
    { "whichever operation on the socket fails, nothing is left behind", every_operation_fails },
    { "10,000 pipelined reads that complete inline do not grow the stack", inline_completions },
    { "stalled clients hold a bounded part of the buffers and starve nobody", stalled_clients },
    { "the payload of a refused write is read away", refused_payload },
    { "a shutdown answers what is in flight, hears nothing more and says goodbye", drain },
    { "a shutdown answers nothing that was not begun, which a client may ask for again",
      drain_of_unread_commands },
    { "who writes behind the end of a shutdown is not cut off", writes_behind_the_end },
    { "whichever operation fails in a shutdown, it comes to its end",
      every_operation_fails_in_a_drain },
    { "a shutdown does not wait for ever for a client that does not read",
      drain_of_a_stalled_client },
    { "a client without a handshake is dropped in time", handshake_timeout },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
