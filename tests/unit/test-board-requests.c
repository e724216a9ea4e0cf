/* What clients ask for is on the board while it lasts, and counted when it is answered. */
#include <errno.h>

#include "tests/support/check.h"
#include "tests/support/fake-server.h"

#define US UINT64_C(1000)

static struct board_connection connection;
static struct board_command command;
static struct board_figures figures;

static bool next_command(board_cursor *cursor)
{
    return board_next_command(server.board, cursor, &command);
}

/* The only one. */
static void look_at_command(void)
{
    board_cursor cursor = 0;

    EXPECT(next_command(&cursor) && !command.torn);
    struct board_command only = command;
    EXPECT(!next_command(&cursor));
    command = only;
}

static unsigned commands(void)
{
    board_cursor cursor = 0;
    unsigned count = 0;

    while (next_command(&cursor))
        count++;
    return count;
}

static void look_at_connection(void)
{
    board_cursor cursor = 0;

    EXPECT(board_next_connection(server.board, &cursor, &connection) && !connection.torn);
}

static void look_at_figures(void)
{
    EXPECT(board_sum_export(server.board, server.ex.place, &figures));
}

/* ---- a request ---- */

static void a_read_is_seen_on_its_way(void)
{
    fake_server_open();
    int fd = fake_client_attach(false);
    look_at_connection();
    EXPECT(connection.state == BOARD_TRANSMISSION && connection.export_id == 1);
    EXPECT_TEXT(connection.peer, "test client");
    EXPECT(connection.in_flight == 0 && commands() == 0);

    server.backend.hold = true;
    fake_socket_window(server.loop, fd, 100); /* it takes its answers slowly */
    fake_client_send(fd, NBD_CMD_READ, 1, 4096, 512);
    fake_loop_run(server.loop);
    uint64_t start_ns = loop_batch_ns;
    look_at_command();
    EXPECT(command.op == BOARD_READ && command.phase == BOARD_BACKEND);
    EXPECT(command.offset_bytes == 4096 && command.length_bytes == 512);
    EXPECT(command.start_ns == start_ns && command.connection == connection.id);
    EXPECT(command.export_id == 1 && command.worker == 0);
    look_at_connection();
    EXPECT(connection.in_flight == 1 && connection.requests == 0);

    loop_batch_ns += 300 * US;
    fake_backend_release_all(&server.backend);
    fake_loop_run(server.loop);
    look_at_command();
    EXPECT(command.phase == BOARD_READY && command.start_ns == start_ns);
    look_at_figures();
    EXPECT(board_histogram_count(&figures.request[BOARD_READ]) == 0);

    loop_batch_ns += 2000 * US;
    fake_socket_window(server.loop, fd, 0);
    fake_client_expect_simple(fd, 1, 0);
    fake_client_expect_data(fd, 4096, 512);
    fake_loop_run(server.loop);
    EXPECT(commands() == 0);
    look_at_connection();
    EXPECT(connection.in_flight == 0 && connection.requests == 1);
    EXPECT(connection.read_bytes == 512 && connection.written_bytes == 0);
    look_at_figures();
    EXPECT(figures.request[BOARD_READ].sum_ns == 2300 * US);
    EXPECT(figures.backend[BOARD_READ].sum_ns == 300 * US);
    EXPECT(board_histogram_quantile_us(&figures.backend[BOARD_READ], 1) >= 300);
    EXPECT(board_histogram_quantile_us(&figures.backend[BOARD_READ], 1) < 375);
    EXPECT(figures.read_bytes == 512 && figures.attached == 1);
    fake_client_leave(fd);
    fake_server_close();
}

static void a_write_waits_for_its_payload_first(void)
{
    uint8_t header[NBD_REQUEST_BYTES], payload[512] = { 0 };

    fake_server_open();
    int fd = fake_client_attach(false);
    nbd_encode_request(header, &(struct nbd_request){ .command = NBD_CMD_WRITE,
                                                      .cookie = 1,
                                                      .offset_bytes = 0,
                                                      .length_bytes = sizeof payload });
    fake_socket_feed(server.loop, fd, header, sizeof header);
    fake_loop_run(server.loop);
    look_at_command();
    EXPECT(command.op == BOARD_WRITE && command.phase == BOARD_RECEIVE);

    loop_batch_ns += 5000 * US;
    server.backend.hold = true;
    fake_socket_feed(server.loop, fd, payload, sizeof payload);
    fake_loop_run(server.loop);
    look_at_command();
    EXPECT(command.phase == BOARD_BACKEND);
    loop_batch_ns += 70 * US;
    fake_backend_release_all(&server.backend);
    fake_client_expect_simple(fd, 1, 0);
    fake_loop_run(server.loop);
    look_at_figures();
    EXPECT(figures.request[BOARD_WRITE].sum_ns == 5070 * US);
    EXPECT(figures.backend[BOARD_WRITE].sum_ns == 70 * US && figures.written_bytes == 512);
    fake_client_leave(fd);
    fake_server_close();
}

static void failures_are_counted_by_their_error(void)
{
    fake_server_open();
    int fd = fake_client_attach(false);
    server.backend.fail_at = 1;
    server.backend.fail_error = ENOSPC;
    fake_client_write(fd, 1, 0, 512, 1);
    fake_client_expect_simple(fd, 1, NBD_ENOSPC);
    fake_client_send(fd, NBD_CMD_READ, 2, FAKE_DISK_BYTES, 512); /* refused */
    fake_client_expect_simple(fd, 2, NBD_EINVAL);
    fake_client_send(fd, NBD_CMD_FLUSH, 3, 0, 0);
    fake_client_expect_simple(fd, 3, 0);
    fake_loop_run(server.loop);
    look_at_figures();
    EXPECT(figures.errors[BOARD_WRITE][board_error_index(NBD_ENOSPC)] == 1);
    EXPECT(figures.errors[BOARD_READ][board_error_index(NBD_EINVAL)] == 1);
    EXPECT(figures.read_bytes == 0 && figures.written_bytes == 0);
    EXPECT(board_histogram_count(&figures.request[BOARD_FLUSH]) == 1);
    look_at_connection();
    EXPECT(connection.requests == 3 && connection.errors == 2);
    fake_client_leave(fd);
    fake_server_close();
}

/* ---- the end of a connection ---- */

static void what_nobody_hears_is_not_counted(void)
{
    fake_server_open();
    int fd = fake_client_attach(false);
    server.backend.hold = true;
    for (unsigned i = 0; i < 50; i++)
        fake_client_send(fd, NBD_CMD_READ, i, 0, 512);
    fake_loop_run(server.loop);
    EXPECT(commands() == 50);
    fake_socket_reset(server.loop, fd);
    fake_loop_run(server.loop);
    EXPECT(commands() == 50); /* storage is still at work on them */
    fake_backend_release_all(&server.backend);
    fake_loop_run(server.loop);
    EXPECT(commands() == 0);
    look_at_figures();
    EXPECT(board_histogram_count(&figures.request[BOARD_READ]) == 0 && figures.attached == 1);
    board_cursor cursor = 0;
    EXPECT(!board_next_connection(server.board, &cursor, &connection));
    fake_server_close();
}

static void figures_outlive_their_clients(void)
{
    struct board_export export;

    fake_server_open();
    for (unsigned i = 1; i <= 20; i++) {
        int fd = fake_client_attach(true);

        fake_client_send(fd, NBD_CMD_READ, 1, 0, 1024);
        EXPECT(fake_client_take_read(fd, 1, 1024) == 0);
        fake_loop_run(server.loop);
        EXPECT(board_read_export(server.board, 1, &export) && export.connections == 1);
        fake_client_leave(fd);
        look_at_figures();
        EXPECT(figures.attached == i && figures.read_bytes == i * 1024);
        EXPECT(board_histogram_count(&figures.request[BOARD_READ]) == i);
    }
    EXPECT(board_read_export(server.board, 1, &export) && export.connections == 0);
    fake_server_close();
}

/* ---- clients that wait ---- */

static void who_waits_for_memory_is_marked(void)
{
    fake_server_open();
    int fd = fake_client_attach(false);
    server.backend.hold = true;
    for (unsigned i = 0; i < 64; i++)
        fake_client_send(fd, NBD_CMD_READ, i, 0, 1 << 18);
    fake_loop_run(server.loop);
    look_at_connection();
    EXPECT(connection.waits_for_memory && connection.in_flight > 1);
    fake_backend_release_all(&server.backend);
    for (unsigned i = 0; i < 64; i++) {
        fake_client_expect_simple(fd, i, 0);
        fake_client_expect_data(fd, 0, 1 << 18);
    }
    fake_loop_run(server.loop);
    look_at_connection();
    EXPECT(!connection.waits_for_memory && connection.in_flight == 0);
    EXPECT(connection.requests == 64);
    fake_client_leave(fd);
    fake_server_close();
}

static const struct check checks[] = {
    { "a read is seen on its way, and its time is split", a_read_is_seen_on_its_way },
    { "a write waits for its payload first", a_write_waits_for_its_payload_first },
    { "failures are counted by their error", failures_are_counted_by_their_error },
    { "what nobody hears is not counted", what_nobody_hears_is_not_counted },
    { "figures outlive their clients", figures_outlive_their_clients },
    { "who waits for memory is marked", who_waits_for_memory_is_marked },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
