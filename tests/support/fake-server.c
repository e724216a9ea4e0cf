#include "tests/support/fake-server.h"

#include <sys/mman.h>
#include <unistd.h>

#include "server/block/align-layer.h"
#include "tests/support/check.h"

struct fake_server server;

static void worker_is_empty(struct io_event *ev, int result)
{
    (void)ev;
    (void)result;
}

/* A file of which every eight bytes are different, made once. */
static int disk_image(void)
{
    static int fd = -1;

    if (fd >= 0)
        return fd;
    fd = memfd_create("disk", MFD_CLOEXEC);
    EXPECT(fd >= 0 && ftruncate(fd, FAKE_DISK_BYTES) == 0);
    uint64_t *words = mmap(NULL, FAKE_DISK_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    EXPECT(words != MAP_FAILED);
    for (size_t i = 0; i < FAKE_DISK_BYTES / sizeof *words; i++)
        words[i] = (i + 1) * 0x9E3779B97F4A7C15u;
    munmap(words, FAKE_DISK_BYTES);
    return fd;
}

void fake_server_open(void)
{
    fake_server_open_blocks(1);
}

void fake_server_open_blocks(uint32_t block_bytes)
{
    struct loop_config config = { .entries = 8 };
    struct stage *top = &server.backend.stage;
    struct error err;

    EXPECT(board_create(&server.board, 1, &err) == 0);
    EXPECT(loop_create(&server.loop, &config, &err) == 0);
    fake_backend_init(&server.backend, FAKE_DISK_BYTES, block_bytes, disk_image());
    server.part = (struct export_part){ 0 };
    server.ranges = NULL;
    if (block_bytes > 1) {
        top->limits.halves_are_noise = true;
        EXPECT(range_lock_create(&server.ranges, &err) == 0);
        EXPECT(align_stage_create(&top, top, server.ranges, &err) == 0);
    }
    server.ex =
        (struct export){ .name = "", .top = top, .limits = top->limits, .parts = &server.part };
    server.ex.id = 1;
    server.ex.place = board_export_begin(server.board, 1, "");
    EXPECT(export_set_create(&server.set, &(struct export *){ &server.ex }, 1, &err) == 0);
    server.worker = (struct worker){ .loop = server.loop,
                                     .exports = server.set,
                                     .handshake_timeout_ms = 10000 };
    worker_join_board(&server.worker, server.board);
    server.empty.fn = worker_is_empty;
    server.worker.empty = &server.empty;
    memory_pressure_init(&server.pressure, &server.worker);
    EXPECT(buffer_pool_create(&server.worker.buffers, server.loop, FAKE_BUFFERS_BYTES, SIZE_MAX,
                              &err) == 0);
    EXPECT(request_pool_create(&server.worker.requests, 1024, server.board, &err) == 0);
}

/* Nothing of any connection is left; the pools check that all came back. */
void fake_server_close(void)
{
    fake_backend_release_all(&server.backend);
    fake_loop_run(server.loop);
    EXPECT(server.worker.connections == NULL);
    EXPECT(atomic_load(&server.worker.connection_count) == 0);
    EXPECT(server.worker.parked.first == NULL);
    memory_pressure_stop(&server.pressure);
    request_pool_destroy(server.worker.requests);
    buffer_pool_destroy(server.worker.buffers);
    export_part_detach(&server.part);
    limit_clients_free(&server.ex.clients);
    stage_close(server.ex.top);
    range_lock_destroy(server.ranges);
    export_set_free(server.set);
    loop_destroy(server.loop);
    board_export_end(server.board, server.ex.place);
    board_destroy(server.board);
}

/* ---- a client ---- */

int fake_client_connect(void)
{
    int fd = fake_socket_create(server.loop);

    atomic_fetch_add(&server.worker.connection_count, 1);
    connection_create(&server.worker, fd, &(struct peer){ .text = "test client" },
                      &(struct place){ 0 });
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
size_t fake_client_handshake(uint8_t *out, bool structured)
{
    size_t used = 4;

    nbd_put_u32(out, NBD_FLAG_C_FIXED_NEWSTYLE | NBD_FLAG_C_NO_ZEROES);
    if (structured)
        used += append_option(out + used, NBD_OPT_STRUCTURED_REPLY, "", 0);
    return used + append_option(out + used, NBD_OPT_GO, "\0\0\0\0\0\0", 6);
}

int fake_client_attach(bool structured)
{
    uint8_t bytes[128], answers[4096];
    int fd = fake_client_connect();

    fake_socket_feed(server.loop, fd, bytes, fake_client_handshake(bytes, structured));
    fake_loop_run(server.loop);
    EXPECT(fake_socket_take(server.loop, fd, answers, sizeof answers) > NBD_GREETING_BYTES);
    return fd;
}

void fake_client_send(int fd, uint16_t command, uint64_t cookie, uint64_t offset_bytes,
                      uint32_t length_bytes)
{
    uint8_t bytes[NBD_REQUEST_BYTES];

    nbd_encode_request(bytes, &(struct nbd_request){ .command = command,
                                                     .cookie = cookie,
                                                     .offset_bytes = offset_bytes,
                                                     .length_bytes = length_bytes });
    fake_socket_feed(server.loop, fd, bytes, sizeof bytes);
}

void fake_client_write(int fd, uint64_t cookie, uint64_t offset_bytes, uint32_t length_bytes,
                       int fill)
{
    uint8_t *data = malloc(length_bytes);

    EXPECT(data != NULL);
    memset(data, fill, length_bytes);
    fake_client_send(fd, NBD_CMD_WRITE, cookie, offset_bytes, length_bytes);
    fake_socket_feed(server.loop, fd, data, length_bytes);
    free(data);
}

/* The next `length_bytes` bytes, which must come. */
void fake_client_take(int fd, void *out, size_t length_bytes)
{
    size_t got = 0;

    while (got < length_bytes) {
        size_t count = fake_socket_take(server.loop, fd, (uint8_t *)out + got, length_bytes - got);

        got += count;
        if (count == 0)
            EXPECT(fake_loop_step(server.loop));
    }
}

uint32_t fake_client_take_simple(int fd, uint64_t *cookie)
{
    uint8_t bytes[NBD_SIMPLE_REPLY_BYTES];
    uint32_t error;

    fake_client_take(fd, bytes, sizeof bytes);
    EXPECT(nbd_decode_simple_reply(bytes, &error, cookie));
    return error;
}

void fake_client_expect_simple(int fd, uint64_t cookie, uint32_t error)
{
    uint64_t got_cookie;
    uint32_t got_error = fake_client_take_simple(fd, &got_cookie);

    EXPECT(got_cookie == cookie);
    EXPECT(got_error == error);
}

void fake_client_expect_data(int fd, uint64_t offset_bytes, uint32_t length_bytes)
{
    uint8_t *data = malloc(length_bytes);

    EXPECT(data != NULL);
    fake_client_take(fd, data, length_bytes);
    EXPECT(memcmp(data, server.backend.disk + offset_bytes, length_bytes) == 0);
    free(data);
}

static void expect_zeros(uint64_t offset_bytes, uint32_t length_bytes)
{
    EXPECT(length_bytes > 0);
    for (uint32_t i = 0; i < length_bytes; i++)
        EXPECT(server.backend.disk[offset_bytes + i] == 0);
}

/* Reads the chunks of one structured read, in any order, until DONE; its error or 0. */
uint32_t fake_client_take_read(int fd, uint64_t cookie, uint32_t length_bytes)
{
    uint8_t bytes[NBD_CHUNK_HEADER_BYTES], payload[300];
    uint32_t seen = 0;

    for (;;) {
        struct nbd_chunk chunk;

        fake_client_take(fd, bytes, sizeof bytes);
        EXPECT(nbd_decode_chunk(bytes, &chunk));
        EXPECT(chunk.cookie == cookie);
        bool done = chunk.flags & NBD_REPLY_FLAG_DONE;
        if (chunk.type == NBD_REPLY_TYPE_OFFSET_DATA) {
            fake_client_take(fd, payload, 8);
            fake_client_expect_data(fd, nbd_get_u64(payload), chunk.length_bytes - 8);
            seen += chunk.length_bytes - 8;
        } else if (chunk.type == NBD_REPLY_TYPE_OFFSET_HOLE) {
            EXPECT(chunk.length_bytes == 12);
            fake_client_take(fd, payload, 12);
            expect_zeros(nbd_get_u64(payload), nbd_get_u32(payload + 8));
            seen += nbd_get_u32(payload + 8);
        } else {
            bool where = chunk.type == NBD_REPLY_TYPE_ERROR_OFFSET;

            EXPECT((where || chunk.type == NBD_REPLY_TYPE_ERROR) && done);
            EXPECT(chunk.length_bytes <= sizeof payload);
            fake_client_take(fd, payload, chunk.length_bytes);
            EXPECT(nbd_get_u16(payload + 4) + 6u + (where ? 8 : 0) == chunk.length_bytes);
            return nbd_get_u32(payload);
        }
        if (done) {
            EXPECT(seen == length_bytes);
            return 0;
        }
    }
}

void fake_client_leave(int fd)
{
    fake_client_send(fd, NBD_CMD_DISC, 0, 0, 0);
    fake_loop_run(server.loop);
    EXPECT(fake_socket_closed(server.loop, fd));
}
