/* A whole connection on the fake loop and the fake backend: commands in, replies out, whatever
 * fails on the way. */
#include <errno.h>
#include <pthread.h>

#include "server/transmission.h"
#include "tests/check.h"
#include "tests/fake-backend.h"
#include "tests/fake-loop.h"

#define DISK_BYTES (48u << 20)
#define BUFFERS_BYTES (16u << 20)

/* One server with one export, and the clients of a test. */
static struct loop *loop;
static struct worker worker;
static struct fake_backend fake;
static struct export ex;
static struct layer *ex_layer;
static struct export_table table;

static void unpark(struct loop_task *task)
{
    transmission_unpark(container_of(task, struct worker, unpark));
}

static void worker_ended(struct io_event *ev, int result)
{
    (void)ev;
    (void)result;
}

static void fill_disk(void)
{
    static uint8_t *pattern;

    if (pattern == NULL) {
        pattern = malloc(DISK_BYTES);
        EXPECT(pattern != NULL);
        for (size_t i = 0; i < DISK_BYTES; i++)
            pattern[i] = (uint8_t)(i * 31 + i / 4096);
    }
    memcpy(fake.disk, pattern, DISK_BYTES);
}

static void server_open(void)
{
    struct loop_config config = { .entries = 8 };
    struct error err;

    EXPECT(loop_create(&loop, &config, &err) == 0);
    fake_backend_init(&fake, DISK_BYTES, 1);
    fill_disk();
    ex_layer = NULL;
    ex = (struct export){
        .name = "", .top = &fake.stage, .limits = fake.stage.limits, .layers = &ex_layer
    };
    table = (struct export_table){ .exports = &ex, .count = 1, .workers = 1 };
    worker = (struct worker){ .loop = loop, .exports = &table, .handshake_timeout_ms = 10000 };
    worker.parked_end = &worker.parked;
    worker.unpark.fn = unpark;
    worker.main_loop = loop;
    worker.ended.event.fn = worker_ended;
    EXPECT(buffer_pool_create(&worker.buffers, loop, BUFFERS_BYTES, &err) == 0);
    EXPECT(request_pool_create(&worker.requests, 1024, &err) == 0);
}

/* Nothing of any connection is left; the pools check that all came back. */
static void server_close(void)
{
    fake_backend_release_all(&fake);
    fake_loop_run(loop);
    EXPECT(worker.connections == NULL);
    EXPECT(atomic_load(&worker.connection_count) == 0);
    EXPECT(worker.parked == NULL);
    request_pool_destroy(worker.requests);
    buffer_pool_destroy(worker.buffers);
    layer_detach(ex_layer);
    stage_close(&fake.stage);
    loop_destroy(loop);
}

/* ---- a client ---- */

static int client_connect(void)
{
    int fd = fake_socket_create(loop);

    atomic_fetch_add(&worker.connection_count, 1);
    connection_create(&worker, fd, "test client");
    return fd;
}

static size_t append_option(uint8_t *out, uint32_t option, const void *payload, uint32_t bytes)
{
    nbd_encode_option_header(
        out, &(struct nbd_option_header){ .option = option, .length_bytes = bytes });
    memcpy(out + NBD_OPTION_HEADER_BYTES, payload, bytes);
    return NBD_OPTION_HEADER_BYTES + bytes;
}

/* Flags, STRUCTURED_REPLY when wanted, GO of the default export. */
static size_t handshake_bytes(uint8_t *out, bool structured)
{
    size_t used = 4;

    nbd_put_u32(out, NBD_FLAG_C_FIXED_NEWSTYLE | NBD_FLAG_C_NO_ZEROES);
    if (structured)
        used += append_option(out + used, NBD_OPT_STRUCTURED_REPLY, "", 0);
    return used + append_option(out + used, NBD_OPT_GO, "\0\0\0\0\0\0", 6);
}

static int client_attach(bool structured)
{
    uint8_t bytes[128], answers[4096];
    int fd = client_connect();

    fake_socket_feed(loop, fd, bytes, handshake_bytes(bytes, structured));
    fake_loop_run(loop);
    EXPECT(fake_socket_take(loop, fd, answers, sizeof answers) > NBD_GREETING_BYTES);
    return fd;
}

static void client_send(int fd, uint16_t command, uint64_t cookie, uint64_t offset, uint32_t length)
{
    uint8_t bytes[NBD_REQUEST_BYTES];

    nbd_encode_request(bytes, &(struct nbd_request){ .command = command,
                                                     .cookie = cookie,
                                                     .offset_bytes = offset,
                                                     .length_bytes = length });
    fake_socket_feed(loop, fd, bytes, sizeof bytes);
}

static void client_write(int fd, uint64_t cookie, uint64_t offset, uint32_t length, int fill)
{
    uint8_t *data = malloc(length);

    EXPECT(data != NULL);
    memset(data, fill, length);
    client_send(fd, NBD_CMD_WRITE, cookie, offset, length);
    fake_socket_feed(loop, fd, data, length);
    free(data);
}

/* The next `length` bytes, which must come. */
static void take(int fd, void *out, size_t length)
{
    size_t got = 0;

    while (got < length) {
        size_t count = fake_socket_take(loop, fd, (uint8_t *)out + got, length - got);

        got += count;
        if (count == 0)
            EXPECT(fake_loop_step(loop));
    }
}

static uint32_t take_simple(int fd, uint64_t *cookie)
{
    uint8_t bytes[NBD_SIMPLE_REPLY_BYTES];
    uint32_t error;

    take(fd, bytes, sizeof bytes);
    EXPECT(nbd_decode_simple_reply(bytes, &error, cookie));
    return error;
}

static void expect_simple(int fd, uint64_t cookie, uint32_t error)
{
    uint64_t got_cookie;
    uint32_t got_error = take_simple(fd, &got_cookie);

    EXPECT(got_cookie == cookie);
    EXPECT(got_error == error);
}

static void expect_data(int fd, uint64_t offset, uint32_t length)
{
    uint8_t *data = malloc(length);

    EXPECT(data != NULL);
    take(fd, data, length);
    EXPECT(memcmp(data, fake.disk + offset, length) == 0);
    free(data);
}

/* Reads the chunks of one structured read, in any order, until DONE; its error or 0. */
static uint32_t take_structured_read(int fd, uint64_t cookie, uint32_t length)
{
    uint8_t bytes[NBD_CHUNK_HEADER_BYTES], payload[300];
    uint32_t seen = 0;

    for (;;) {
        struct nbd_chunk chunk;

        take(fd, bytes, sizeof bytes);
        EXPECT(nbd_decode_chunk(bytes, &chunk));
        EXPECT(chunk.cookie == cookie);
        bool done = chunk.flags & NBD_REPLY_FLAG_DONE;
        if (chunk.type == NBD_REPLY_TYPE_OFFSET_DATA) {
            take(fd, payload, 8);
            expect_data(fd, nbd_get_u64(payload), chunk.length_bytes - 8);
            seen += chunk.length_bytes - 8;
        } else {
            EXPECT(chunk.type == NBD_REPLY_TYPE_ERROR && done);
            EXPECT(chunk.length_bytes <= sizeof payload);
            take(fd, payload, chunk.length_bytes);
            EXPECT(nbd_get_u16(payload + 4) + 6u == chunk.length_bytes);
            return nbd_get_u32(payload);
        }
        if (done) {
            EXPECT(seen == length);
            return 0;
        }
    }
}

static void client_leave(int fd)
{
    client_send(fd, NBD_CMD_DISC, 0, 0, 0);
    fake_loop_run(loop);
    EXPECT(fake_socket_closed(loop, fd));
}

/* ---- claims ---- */

static void out_of_order(void)
{
    unsigned seed = 7;
    bool answered[64] = { false };

    server_open();
    int fd = client_attach(false);
    fake.hold = true;
    for (unsigned i = 0; i < 64; i++)
        client_send(fd, NBD_CMD_READ, i, i * 8192, 4096);
    fake_loop_run(loop);
    EXPECT(fake.held_count == 64);
    while (fake.held_count > 0) {
        fake_backend_release(&fake, (unsigned)rand_r(&seed) % fake.held_count);
        fake_loop_run(loop);
    }
    for (unsigned i = 0; i < 64; i++) {
        uint64_t cookie;

        EXPECT(take_simple(fd, &cookie) == 0);
        EXPECT(cookie < 64 && !answered[cookie]);
        answered[cookie] = true;
        expect_data(fd, cookie * 8192, 4096);
    }
    client_leave(fd);
    server_close();
}

static void large_reads_in_order(void)
{
    unsigned seed = 3;
    uint32_t length = 5u << 20;

    server_open();
    int fd = client_attach(false);
    fake.hold = true;
    client_send(fd, NBD_CMD_READ, 1, 4096, length);
    client_send(fd, NBD_CMD_READ, 2, 0, 512);
    client_send(fd, NBD_CMD_READ, 3, 8192, length);
    for (;;) {
        fake_loop_run(loop);
        if (fake.held_count == 0)
            break;
        EXPECT(fake.held_count <= 2 * TRANSMISSION_FRAGMENTS_MAX + 1);
        fake_backend_release(&fake, (unsigned)rand_r(&seed) % fake.held_count);
    }
    bool seen[4] = { false };
    for (unsigned i = 0; i < 3; i++) {
        uint64_t cookie;

        EXPECT(take_simple(fd, &cookie) == 0);
        EXPECT(cookie >= 1 && cookie <= 3 && !seen[cookie]);
        seen[cookie] = true;
        expect_data(fd, cookie == 1 ? 4096 : cookie == 2 ? 0 : 8192, cookie == 2 ? 512 : length);
    }
    client_leave(fd);
    server_close();
}

static void large_structured_reads(void)
{
    unsigned seed = 3;
    uint32_t length = 32u << 20;

    server_open();
    int fd = client_attach(true);
    fake.hold = true;
    client_send(fd, NBD_CMD_READ, 9, 123, length);
    for (;;) {
        fake_loop_run(loop);
        if (fake.held_count == 0)
            break;
        fake_backend_release(&fake, (unsigned)rand_r(&seed) % fake.held_count);
    }
    EXPECT(take_structured_read(fd, 9, length) == 0);
    client_leave(fd);
    server_close();
}

static void every_backend_failure(void)
{
    for (unsigned structured = 0; structured < 2; structured++)
        for (unsigned fail_at = 1;; fail_at++) {
            uint32_t length = 1u << 20;
            bool fired;

            server_open();
            int fd = client_attach(structured);
            fake.fail_at = fail_at;
            client_write(fd, 1, 1000, length, 5);
            client_send(fd, NBD_CMD_FLUSH, 2, 0, 0);
            fake_loop_run(loop);
            if (structured) { /* answered with chunks NONE or ERROR */
                uint8_t bytes[2 * NBD_CHUNK_HEADER_BYTES + 2 * 256];
                size_t got = fake_socket_take(loop, fd, bytes, sizeof bytes);

                EXPECT(got >= 2 * NBD_CHUNK_HEADER_BYTES);
                fired = fake.seen >= fail_at;
                EXPECT((got > 2 * NBD_CHUNK_HEADER_BYTES) == fired);
            } else {
                uint64_t cookie;
                uint32_t first = take_simple(fd, &cookie);

                EXPECT(cookie == 1);
                uint32_t second = take_simple(fd, &cookie);
                EXPECT(cookie == 2);
                fired = fake.seen >= fail_at;
                EXPECT((first != 0) + (second != 0) == (fired ? 1 : 0));
            }
            fake.fail_at = 0;
            client_send(fd, NBD_CMD_READ, 3, 0, 512); /* the connection goes on */
            if (structured) {
                EXPECT(take_structured_read(fd, 3, 512) == 0);
            } else {
                expect_simple(fd, 3, 0);
                expect_data(fd, 0, 512);
            }
            client_leave(fd);
            server_close();
            if (!fired)
                break;
        }
}

/* A large read that fails: an error when nothing was sent, else the end of the connection. */
static void failing_large_reads(void)
{
    for (unsigned fail_at = 1; fail_at <= 9; fail_at++) {
        server_open();
        int fd = client_attach(false);
        fake.fail_at = fail_at;
        client_send(fd, NBD_CMD_READ, 1, 0, 2u << 20);
        fake_loop_run(loop);
        if (fail_at == 1 || fail_at > 8) {
            expect_simple(fd, 1, fail_at == 1 ? NBD_EIO : 0);
            client_leave(fd);
        } else {
            EXPECT(fake_socket_closed(loop, fd)); /* "success" has been said: it breaks off */
        }
        server_close();

        server_open();
        fd = client_attach(true);
        fake.fail_at = fail_at;
        client_send(fd, NBD_CMD_READ, 1, 0, 2u << 20);
        EXPECT(take_structured_read(fd, 1, 2u << 20) == (fail_at > 8 ? 0 : NBD_EIO));
        client_leave(fd);
        server_close();
    }
}

/* A conversation with all kinds of commands, as bytes. */
static size_t conversation(uint8_t *out, bool structured)
{
    size_t used = handshake_bytes(out, structured);
    static const struct nbd_request requests[] = {
        { .command = NBD_CMD_READ, .cookie = 1, .length_bytes = 700 },
        { .command = NBD_CMD_WRITE, .cookie = 2, .offset_bytes = 99, .length_bytes = 600 },
        { .command = NBD_CMD_WRITE_ZEROES, .cookie = 3, .length_bytes = 100 },
        { .command = NBD_CMD_WRITE, .cookie = 4, .offset_bytes = DISK_BYTES, .length_bytes = 50 },
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

        server_open();
        for (size_t cut = 0; cut <= all; cut++) {
            if (cut % 50 == 49) { /* the fake loop has room for some dozens of sockets */
                server_close();
                server_open();
            }
            int fd = client_connect();
            fake.hold = cut % 2;
            fake_socket_feed(loop, fd, bytes, cut);
            fake_loop_run(loop);
            if (cut % 3 == 0)
                fake_socket_end(loop, fd);
            else
                fake_socket_reset(loop, fd);
            fake_loop_run(loop);
            fake_backend_release_all(&fake);
            fake_loop_run(loop);
            EXPECT(worker.connections == NULL);
        }
        server_close();
    }
}

static void every_operation_fails(void)
{
    static uint8_t bytes[4096];

    for (unsigned structured = 0; structured < 2; structured++)
        for (unsigned nth = 1;; nth++) {
            size_t all = conversation(bytes, structured);

            server_open();
            fake_loop_fail(loop, nth, ECONNRESET);
            int fd = client_connect();
            fake_socket_feed(loop, fd, bytes, all);
            fake_loop_run(loop);
            bool fired = fake_loop_operations(loop) >= nth;
            EXPECT(worker.connections == NULL);
            server_close();
            if (!fired)
                break;
        }
}

static void *ten_thousand(void *unused)
{
    server_open();
    int fd = client_attach(false);
    for (unsigned i = 0; i < 10000; i++)
        client_send(fd, NBD_CMD_READ, i, i * 512, 512);
    for (unsigned i = 0; i < 10000; i++) {
        expect_simple(fd, i, 0);
        expect_data(fd, i * 512, 512);
    }
    client_leave(fd);
    server_close();
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

    server_open();
    for (unsigned i = 0; i < 40; i++) {
        stalled[i] = client_attach(i % 2);
        fake_socket_window(loop, stalled[i], 1000);
        for (unsigned k = 0; k < 100; k++)
            client_send(stalled[i], NBD_CMD_READ, k, 0, 256 * 1024);
    }
    fake_loop_run(loop);
    for (struct connection *c = worker.connections; c != NULL; c = c->next)
        EXPECT(c->transmission->held_bytes <= TRANSMISSION_HELD_BYTES_MAX);

    int fd = client_attach(false); /* 40 clients ask for 1 GB and read nothing of it */
    for (unsigned i = 0; i < 100; i++) {
        client_send(fd, NBD_CMD_READ, i, i * 4096, 128 * 1024);
        expect_simple(fd, i, 0);
        expect_data(fd, i * 4096, 128 * 1024);
    }
    client_leave(fd);
    fake_socket_window(loop, stalled[0], 1u << 30); /* it wakes up and gets all of it */
    for (unsigned k = 0; k < 100; k++) {
        expect_simple(stalled[0], k, 0);
        expect_data(stalled[0], 0, 256 * 1024);
    }
    for (unsigned i = 0; i < 40; i++)
        fake_socket_reset(loop, stalled[i]);
    server_close();
}

static void refused_payload(void)
{
    server_open();
    int fd = client_attach(false);
    ex.limits.read_only = true;
    client_write(fd, 1, 0, 100000, 1);
    client_send(fd, NBD_CMD_READ, 2, 0, 16);
    expect_simple(fd, 1, NBD_EPERM);
    expect_simple(fd, 2, 0);
    expect_data(fd, 0, 16);
    client_leave(fd);
    server_close();
}

static void drain(void)
{
    server_open();
    int fd = client_attach(false);
    int idle = client_attach(true);
    fake.hold = true;
    client_write(fd, 1, 0, 4096, 0x33);
    fake_loop_run(loop);
    worker.shutting_down = true;
    for (struct connection *c = worker.connections, *next; c != NULL; c = next) {
        next = c->next;
        connection_shutdown(c);
    }
    client_send(fd, NBD_CMD_READ, 2, 0, 512);
    fake_loop_run(loop);
    EXPECT(fake_socket_finished(loop, idle));
    EXPECT(!fake_socket_finished(loop, fd));
    expect_simple(fd, 2, NBD_ESHUTDOWN);
    fake_backend_release_all(&fake);
    fake_loop_run(loop);
    expect_simple(fd, 1, 0);
    EXPECT(fake.disk[0] == 0x33);
    EXPECT(fake_socket_finished(loop, fd));
    EXPECT(!fake_socket_closed(loop, fd)); /* the client may still read what is on its way */
    fake_socket_end(loop, fd);
    fake_socket_end(loop, idle);
    server_close();
}

/* Whatever breaks while the server goes down, it goes down. */
static void every_operation_fails_in_a_drain(void)
{
    for (unsigned nth = 1;; nth++) {
        server_open();
        int fd = client_attach(nth % 2);
        fake.hold = true;
        client_write(fd, 1, 0, 4096, 0x33);
        client_send(fd, NBD_CMD_READ, 2, 0, 600000);
        fake_loop_run(loop);
        fake_loop_fail(loop, nth, EPIPE);
        worker.shutting_down = true;
        connection_shutdown(worker.connections);
        client_send(fd, NBD_CMD_FLUSH, 3, 0, 0);
        fake_loop_run(loop);
        fake_backend_release_all(&fake);
        fake_loop_run(loop);
        bool fired = fake_loop_operations(loop) >= nth;
        EXPECT(fake.disk[0] == 0x33); /* what was accepted was done */
        fake_socket_end(loop, fd);
        server_close();
        if (!fired)
            return;
    }
}

static void drain_of_a_stalled_client(void)
{
    server_open();
    int fd = client_attach(false);
    fake_socket_window(loop, fd, 100);
    client_send(fd, NBD_CMD_READ, 1, 0, 65536);
    fake_loop_run(loop);
    worker.shutting_down = true;
    struct connection *connection = worker.connections;
    connection_shutdown(connection);
    fake_loop_run(loop);
    EXPECT(!fake_socket_closed(loop, fd));
    fake_timer_fire(loop, &connection->timer);
    fake_loop_run(loop);
    EXPECT(fake_socket_closed(loop, fd));
    server_close();
}

static void handshake_timeout(void)
{
    server_open();
    int fd = client_connect();
    fake_loop_run(loop);
    EXPECT(fake_timer_ms(loop, &worker.connections->timer) == 10000);
    fake_timer_fire(loop, &worker.connections->timer);
    fake_loop_run(loop);
    EXPECT(fake_socket_closed(loop, fd));
    server_close();
}

static const struct check checks[] = {
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
    { "a shutdown answers what is in flight, refuses the rest and says goodbye", drain },
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
