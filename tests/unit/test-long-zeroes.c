/* A long WRITE_ZEROES that has to be written out goes aside: what comes behind it is answered
 * first, it holds a bounded number of buffers, and it ends with one answer whatever happens to
 * it. */
#include <errno.h>

#include "tests/support/check.h"
#include "tests/support/fake-server.h"

#define LONG_BYTES (9u << 20)

static void open_server(void)
{
    fake_server_open();
    server.backend.stage.limits.zero_needs_data = true;
}

static void expect_zeros(uint64_t offset_bytes, uint32_t length_bytes)
{
    const uint8_t *data = server.backend.disk + offset_bytes;

    EXPECT(data[0] == 0 && memcmp(data, data + 1, length_bytes - 1) == 0);
}

/* Carries out the one that is held of this kind. */
static void release(enum request_op op)
{
    unsigned index = 0;

    while (server.backend.held[index]->view.op != op)
        EXPECT(++index < server.backend.held_count);
    fake_backend_release(&server.backend, index);
}

/* Storage that takes its time: a read behind it, and a write, do not wait. */
static void others_go_ahead(void)
{
    open_server();
    int fd = fake_client_attach(false);
    server.backend.hold = true;
    fake_client_send(fd, NBD_CMD_WRITE_ZEROES, 1, 4096, LONG_BYTES);
    fake_client_send(fd, NBD_CMD_WRITE_ZEROES, 2, 4096 + LONG_BYTES, LONG_BYTES);
    fake_client_send(fd, NBD_CMD_READ, 3, 0, 512);
    fake_client_write(fd, 4, 512, 512, 9);
    fake_loop_run(server.loop);
    EXPECT(server.backend.held_count == HOLDINGS_FRAGMENTS_MAX + 2);
    release(REQUEST_READ);
    fake_client_expect_simple(fd, 3, 0);
    fake_client_expect_data(fd, 0, 512);
    release(REQUEST_WRITE);
    fake_client_expect_simple(fd, 4, 0);
    while (server.backend.held_count > 0) {
        EXPECT(server.backend.held_count <= 2 * HOLDINGS_FRAGMENTS_MAX);
        fake_backend_release(&server.backend, 0);
        fake_loop_run(server.loop);
    }
    fake_client_expect_simple(fd, 1, 0);
    fake_client_expect_simple(fd, 2, 0);
    expect_zeros(4096, 2 * LONG_BYTES);
    EXPECT(server.backend.disk[512] == 9);
    EXPECT(server.backend.disk[4095] != 0 && server.backend.disk[4096 + 2 * LONG_BYTES + 7] != 0);
    fake_client_leave(fd);
    fake_server_close();
}

/* Storage that answers at once would give it the loop for itself. */
static void the_loop_is_shared(void)
{
    open_server();
    int fd = fake_client_attach(true), other = fake_client_attach(false);
    fake_client_send(fd, NBD_CMD_WRITE_ZEROES, 1, 0, LONG_BYTES);
    fake_client_send(fd, NBD_CMD_READ, 2, LONG_BYTES, 512);
    fake_loop_step(server.loop);
    fake_client_send(other, NBD_CMD_READ, 3, LONG_BYTES, 512);
    while (fake_socket_ready(server.loop, other) == 0)
        EXPECT(fake_loop_step(server.loop));
    EXPECT(server.backend.disk[LONG_BYTES - 9] != 0); /* it is not through yet */
    EXPECT(fake_client_take_read(fd, 2, 512) == 0);
    fake_client_expect_simple(other, 3, 0);
    fake_client_expect_data(other, LONG_BYTES, 512);
    fake_loop_run(server.loop);
    expect_zeros(0, LONG_BYTES);
    EXPECT(fake_socket_ready(server.loop, fd) == NBD_CHUNK_HEADER_BYTES);
    fake_socket_reset(server.loop, fd);
    fake_client_leave(other);
    fake_server_close();
}

static void one_answer_whatever_fails(void)
{
    for (unsigned hold = 0; hold < 2; hold++)
        for (unsigned fail_at = 1; fail_at <= 1 + LONG_BYTES / BUFFER_BYTES_MAX; fail_at += 3) {
            open_server();
            int fd = fake_client_attach(false);
            server.backend.hold = hold;
            server.backend.fail_at = fail_at;
            server.backend.fail_error = ENOSPC;
            fake_client_send(fd, NBD_CMD_WRITE_ZEROES, 1, 0, LONG_BYTES);
            fake_loop_run(server.loop);
            fake_backend_release_all(&server.backend);
            bool fired = fail_at <= LONG_BYTES / BUFFER_BYTES_MAX;
            fake_client_expect_simple(fd, 1, fired ? NBD_ENOSPC : 0);
            EXPECT(server.backend.seen < fail_at + HOLDINGS_FRAGMENTS_MAX);
            server.backend.fail_at = 0;
            fake_client_send(fd, NBD_CMD_READ, 2, 0, 512);
            fake_client_expect_simple(fd, 2, 0);
            fake_client_expect_data(fd, 0, 512);
            fake_client_leave(fd);
            fake_server_close();
        }
}

/* The client goes, in order or not, after so many fragments. */
static void vanishing_clients(void)
{
    for (unsigned way = 0; way < 4; way++)
        for (unsigned steps = 0; steps < 30; steps += 3) {
            open_server();
            int fd = fake_client_attach(way % 2);
            server.backend.hold = steps % 2;
            fake_client_send(fd, NBD_CMD_WRITE_ZEROES, 1, 0, LONG_BYTES);
            fake_client_send(fd, NBD_CMD_WRITE_ZEROES, 2, LONG_BYTES, LONG_BYTES);
            for (unsigned i = 0; i < steps; i++) {
                (void)fake_loop_step(server.loop);
                if (server.backend.held_count > 0)
                    fake_backend_release(&server.backend, 0);
            }
            if (way < 2) {
                fake_socket_reset(server.loop, fd);
                fake_loop_run(server.loop);
                fake_backend_release_all(&server.backend);
            } else {
                fake_client_send(fd, NBD_CMD_DISC, 0, 0, 0);
                fake_loop_run(server.loop);
                fake_backend_release_all(&server.backend);
                fake_loop_run(server.loop);
                expect_zeros(0, 2 * LONG_BYTES); /* what was asked for is done first */
            }
            fake_loop_run(server.loop);
            EXPECT(server.worker.connections == NULL);
            fake_server_close();
        }
}

/* So many clients that not all of them get a buffer: all come to an end. */
static void want_of_buffers(void)
{
    int fds[40];

    open_server();
    for (unsigned i = 0; i < 40; i++) {
        fds[i] = fake_client_attach(false);
        fake_client_send(fds[i], NBD_CMD_WRITE_ZEROES, i, 0, LONG_BYTES);
        fake_client_send(fds[i], NBD_CMD_WRITE_ZEROES, 100 + i, 0, LONG_BYTES);
    }
    server.backend.hold = true;
    fake_loop_run(server.loop);
    fake_backend_release_all(&server.backend);
    for (unsigned i = 0; i < 40; i++) {
        fake_client_expect_simple(fds[i], i, 0);
        fake_client_expect_simple(fds[i], 100 + i, 0);
        fake_client_leave(fds[i]);
    }
    fake_server_close();
}

static const struct check checks[] = {
    { "reads and writes behind long zeroes do not wait for them", others_go_ahead },
    { "long zeroes leave the loop to others now and then", the_loop_is_shared },
    { "long zeroes are answered once, whichever part fails", one_answer_whatever_fails },
    { "a client that goes in the middle of long zeroes leaves nothing behind", vanishing_clients },
    { "long zeroes that wait for buffers come to an end", want_of_buffers },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
