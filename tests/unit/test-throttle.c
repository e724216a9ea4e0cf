/* A command that a limit holds back holds nothing itself, is seen, and holds up nobody else; and
 * rates are exact, in time that the test makes. */
#include <errno.h>

#include "server/connection/nbd-command.h"
#include "tests/support/check.h"
#include "tests/support/fake-server.h"

#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)
#define START (1000 * SECOND)

static void use(const struct limit_terms *terms)
{
    limit_set_use(&server.ex.rates, terms, loop_batch_ns);
    atomic_store(&server.ex.limited, limit_terms_hold(terms));
}

static void open_limited(const struct limit_terms *terms)
{
    loop_batch_ns = START;
    fake_server_open();
    use(terms);
}

static void limit_iops(uint64_t rate)
{
    use(&(struct limit_terms){ .rate[LIMIT_IOPS] = rate });
}

/* The connections, of which the last one that came is the first. */
static struct transmission *transmission_at(unsigned index)
{
    struct connection *one = server.worker.connections;

    for (; index > 0; index--)
        one = one->next;
    return one->transmission;
}

static bool waits(const struct connection *one)
{
    return one->transmission != NULL && one->transmission->throttle.running;
}

/* The one whose turn is next; NULL: none waits. */
static struct transmission *next_in_turn(void)
{
    struct transmission *next = NULL;

    for (struct connection *one = server.worker.connections; one != NULL; one = one->next)
        if (waits(one) &&
            (next == NULL || one->transmission->throttle.due_ns < next->throttle.due_ns))
            next = one->transmission;
    return next;
}

static void fire(struct transmission *t)
{
    fake_timer_fire(server.loop, &t->throttle.timer);
    fake_loop_run(server.loop);
}

/* In whole milliseconds, as timers are.  False: none waits. */
static bool go_on(void)
{
    struct transmission *next = next_in_turn();

    if (next == NULL)
        return false;
    if (next->throttle.due_ns >= loop_batch_ns)
        loop_batch_ns = (next->throttle.due_ns / MS + 1) * MS;
    else
        loop_batch_ns += (uint64_t)fake_timer_ms(server.loop, &next->throttle.timer) * MS;
    fire(next);
    return true;
}

/* All who wait look now and then whether something has changed. */
static void look_again(void)
{
    struct transmission *next = next_in_turn();

    EXPECT(next != NULL && fake_timer_ms(server.loop, &next->throttle.timer) <= 100);
    loop_batch_ns += 100 * MS;
    fire(next);
}

static void take_all(int fd)
{
    static uint8_t nowhere[1u << 20];

    while (fake_socket_take(server.loop, fd, nowhere, sizeof nowhere) > 0)
        fake_loop_run(server.loop);
}

static struct board_command seen;

/* False: no command is under way. */
static bool look(void)
{
    board_cursor cursor = 0;

    return board_next_command(server.board, &cursor, &seen);
}

/* ---- claims ---- */

static void holds_only_a_header(void)
{
    struct board_figures figures;
    struct board_connection connection;
    board_cursor cursor = 0;

    open_limited(&(struct limit_terms){ .rate[LIMIT_IOPS] = 10 });
    int fd = fake_client_attach(false);
    fake_client_send(fd, NBD_CMD_READ, 1, 0, 512);
    fake_client_send(fd, NBD_CMD_READ, 2, 4096, 1024);
    fake_loop_run(server.loop);
    fake_client_expect_simple(fd, 1, 0);
    fake_client_expect_data(fd, 0, 512);
    struct transmission *t = transmission_at(0);
    EXPECT(t->holds.commands == 0 && t->holds.bytes == 0 && t->throttle.running &&
           !t->recv_pending);
    EXPECT(look() && seen.phase == BOARD_THROTTLED && seen.op == BOARD_READ);
    EXPECT(seen.offset_bytes == 4096 && seen.length_bytes == 1024 && seen.start_ns == START);
    EXPECT(board_next_connection(server.board, &cursor, &connection));
    EXPECT(connection.throttled_since_ns == START && connection.in_flight == 0);

    server.backend.hold = true;
    EXPECT(go_on());
    EXPECT(loop_batch_ns == START + 81 * MS); /* but for the slack */
    EXPECT(look() && seen.phase == BOARD_BACKEND && seen.start_ns == START);
    EXPECT(seen.throttled_ns == 81 * MS);
    server.backend.hold = false;
    fake_backend_release_all(&server.backend);
    fake_loop_run(server.loop);
    fake_client_expect_simple(fd, 2, 0);
    fake_client_expect_data(fd, 4096, 1024);
    EXPECT(!look());
    EXPECT(board_sum_export(server.board, server.ex.place, &figures));
    EXPECT(figures.throttled_ns == 81 * MS);
    EXPECT(figures.request[BOARD_READ].sum_ns == 81 * MS);
    EXPECT(figures.backend[BOARD_READ].sum_ns == 0);

    /* The next command of the same slot was not held back. */
    loop_batch_ns += SECOND;
    server.backend.hold = true;
    fake_client_send(fd, NBD_CMD_READ, 3, 0, 512);
    fake_loop_run(server.loop);
    EXPECT(look() && seen.throttled_ns == 0 && seen.start_ns == loop_batch_ns);
    server.backend.hold = false;
    fake_backend_release_all(&server.backend);
    fake_loop_run(server.loop);
    take_all(fd);
    fake_client_leave(fd);
    fake_server_close();
}

/* So many of 4 KiB, at a depth of 16, in virtual time. */
static uint64_t time_of(unsigned clients, unsigned requests, uint16_t command)
{
    static uint8_t payload[4096];
    int fds[8];

    for (unsigned i = 0; i < clients; i++)
        fds[i] = fake_client_attach(false);
    uint64_t begin_ns = loop_batch_ns;
    for (unsigned i = 0; i < requests; i++) {
        int fd = fds[i % clients];

        if (command == NBD_CMD_WRITE)
            fake_client_write(fd, i, 0, sizeof payload, 7);
        else
            fake_client_send(fd, command, i, 0, sizeof payload);
        if (i % 64 == 63)
            fake_loop_run(server.loop);
    }
    fake_loop_run(server.loop);
    while (go_on())
        for (unsigned i = 0; i < clients; i++)
            take_all(fds[i]);
    for (unsigned i = 0; i < clients; i++) {
        take_all(fds[i]);
        fake_client_leave(fds[i]);
    }
    return loop_batch_ns - begin_ns;
}

static void expect_time(uint64_t time_ns, double seconds)
{

    EXPECT((double)time_ns / 1e9 > seconds * 0.98 - 0.022);
    EXPECT((double)time_ns / 1e9 < seconds * 1.02 + 0.002);
}

static void rates_are_exact(void)
{
    static const uint64_t rates[] = { 1, 7, 100, 1000, 20000, 100000, 500000 };

    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++)
        for (unsigned clients = 1; clients <= 8; clients += 7) {
            unsigned requests = rates[i] < 100 ? 20 : rates[i] < 10000 ? 2000 : 20000;

            open_limited(&(struct limit_terms){ .rate[LIMIT_IOPS] = rates[i] });
            expect_time(time_of(clients, requests, NBD_CMD_READ),
                        (requests - 1) / (double)rates[i]); /* the first one does not wait */
            fake_server_close();
        }
}

static void bandwidth_is_exact(void)
{
    open_limited(&(struct limit_terms){ .rate[LIMIT_BANDWIDTH] = 1u << 20 });
    expect_time(time_of(8, 2048, NBD_CMD_WRITE), 8);
    fake_server_close();
    open_limited(&(struct limit_terms){ .rate[LIMIT_READ_BANDWIDTH] = 1u << 20 });
    expect_time(time_of(2, 1024, NBD_CMD_READ), 4);
    fake_server_close();
}

static void each_kind_counts_its_own(void)
{
    const struct limit_terms reads = { .rate[LIMIT_READ_IOPS] = 10,
                                       .rate[LIMIT_READ_BANDWIDTH] = 9 };
    const struct limit_terms writes = { .rate[LIMIT_WRITE_IOPS] = 10,
                                        .rate[LIMIT_WRITE_BANDWIDTH] = 9 };

    open_limited(&reads);
    EXPECT(time_of(1, 100, NBD_CMD_WRITE) == 0);
    fake_server_close();
    open_limited(&writes);
    EXPECT(time_of(1, 100, NBD_CMD_READ) == 0);
    fake_server_close();
    open_limited(&(struct limit_terms){ .rate[LIMIT_BANDWIDTH] = 1 });
    EXPECT(time_of(1, 100, NBD_CMD_TRIM) == 0); /* it has no bytes */
    fake_server_close();
    /* 4 KiB are four of 1 KiB. */
    open_limited(&(struct limit_terms){ .rate[LIMIT_IOPS] = 1000, .io_size_bytes = 1024 });
    expect_time(time_of(1, 1000, NBD_CMD_READ), 4);
    fake_server_close();
}

/* A command that asks for gigabytes of a disk of 48 MiB: what is owed for it is a second's. */
static void refused_costs_no_more(void)
{
    static const uint16_t commands[] = { NBD_CMD_CACHE, NBD_CMD_WRITE_ZEROES, NBD_CMD_READ };
    const struct limit_terms terms = { .rate[LIMIT_BANDWIDTH] = FAKE_DISK_BYTES,
                                       .rate[LIMIT_IOPS] = FAKE_DISK_BYTES >> 12,
                                       .io_size_bytes = 4096 };

    for (unsigned i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        open_limited(&terms);
        int greedy = fake_client_attach(false), other = fake_client_attach(false);
        fake_client_send(greedy, commands[i], 1, 0, UINT32_MAX);
        fake_loop_run(server.loop);
        uint64_t cookie;
        EXPECT(fake_client_take_simple(greedy, &cookie) != 0 && cookie == 1);
        fake_client_send(other, NBD_CMD_READ, 2, 0, 512);
        fake_loop_run(server.loop);
        while (go_on())
            continue;
        EXPECT(loop_batch_ns - START < SECOND + 10 * MS);
        take_all(other);
        fake_client_leave(other);
        fake_client_leave(greedy);
        fake_server_close();
    }
}

/* As many operations as the whole, and never all of them at once. */
static void parts_are_the_whole(void)
{
    static const uint64_t sizes[] = { 0, 1, 4096, 100000, 262144, 300000, 1u << 30 };
    const uint64_t whole_bytes = 1000 * 262144 + 777, part_bytes = 262144;
    struct limit_claim whole, part;

    open_limited(&(struct limit_terms){ .rate[LIMIT_IOPS] = 1 });
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint64_t operations = 0, bytes = 0;

        use(&(struct limit_terms){ .rate[LIMIT_IOPS] = 1, .io_size_bytes = sizes[i] });
        limit_claim_init(&whole, &server.ex.rates, true, 0, whole_bytes);
        for (uint64_t at = 0; at < whole_bytes; at += part_bytes) {
            uint64_t left_bytes = whole_bytes - at;

            limit_claim_init(&part, &server.ex.rates, true, at,
                             left_bytes < part_bytes ? left_bytes : part_bytes);
            operations += part.operations;
            bytes += part.bytes;
        }
        EXPECT(operations == whole.operations && bytes == whole.bytes);
    }
    fake_server_close();
}

static void bursts_last_as_long_as_they_may(void)
{
    const struct limit_terms terms = { .rate[LIMIT_IOPS] = 100,
                                       .burst_rate[LIMIT_IOPS] = 1000,
                                       .burst_seconds[LIMIT_IOPS] = 3 };

    open_limited(&terms);
    expect_time(time_of(1, 3000, NBD_CMD_READ), 3);
    fake_server_close();
    open_limited(&terms);
    expect_time(time_of(1, 4000, NBD_CMD_READ), 13);
    fake_server_close();
}

static void flush_and_disc_are_free(void)
{
    open_limited(&(struct limit_terms){ .rate[LIMIT_IOPS] = 1 });
    int fd = fake_client_attach(false);
    fake_client_send(fd, NBD_CMD_READ, 1, 0, 512);
    for (unsigned i = 2; i < 10; i++)
        fake_client_send(fd, NBD_CMD_FLUSH, i, 0, 0);
    fake_client_send(fd, NBD_CMD_READ, 10, 0, 512);
    fake_client_send(fd, NBD_CMD_DISC, 0, 0, 0);
    fake_loop_run(server.loop);
    fake_client_expect_simple(fd, 1, 0);
    fake_client_expect_data(fd, 0, 512);
    for (unsigned i = 2; i < 10; i++)
        fake_client_expect_simple(fd, i, 0);
    while (go_on())
        continue;
    fake_client_expect_simple(fd, 10, 0); /* the one before DISC */
    fake_client_expect_data(fd, 0, 512);
    EXPECT(fake_socket_closed(server.loop, fd));
    fake_server_close();
}

/* Of which one is held back for a hundred seconds. */
static void others_are_not_held_up(void)
{
    open_limited(&(struct limit_terms){ .rate[LIMIT_WRITE_BANDWIDTH] = 4096 });
    int slow = fake_client_attach(false), other = fake_client_attach(false);
    fake_client_write(slow, 1, 0, 100 * 4096, 1);
    fake_client_write(slow, 2, 0, 512, 2);
    fake_loop_run(server.loop);
    EXPECT(transmission_at(1)->throttle.running);
    fake_client_send(other, NBD_CMD_READ, 3, 8192, 512);
    fake_loop_run(server.loop);
    fake_client_expect_simple(other, 3, 0);
    fake_client_expect_data(other, 8192, 512);
    fake_client_leave(other);
    while (go_on())
        continue;
    fake_client_expect_simple(slow, 1, 0);
    fake_client_expect_simple(slow, 2, 0);
    fake_client_leave(slow);
    fake_server_close();
}

static int hold_one_back(void)
{
    open_limited(&(struct limit_terms){ .rate[LIMIT_IOPS] = 1 });
    int fd = fake_client_attach(false);
    fake_client_send(fd, NBD_CMD_READ, 1, 0, 512);
    fake_client_send(fd, NBD_CMD_READ, 2, 0, 512);
    fake_loop_run(server.loop);
    fake_client_expect_simple(fd, 1, 0);
    fake_client_expect_data(fd, 0, 512);
    EXPECT(transmission_at(0)->throttle.running);
    return fd;
}

static void expect_nobody_waits(void)
{
    for (unsigned i = 0; i < LIMIT_SET_RATES; i++)
        EXPECT(atomic_load(&server.ex.rates.rates[i].waiting) == 0);
}

static void the_end_does_not_wait(void)
{
    int fd = hold_one_back();

    connection_shutdown(server.worker.connections);
    fake_loop_run(server.loop);
    EXPECT(fake_socket_ready(server.loop, fd) == 0);
    EXPECT(fake_socket_finished(server.loop, fd));
    fake_socket_end(server.loop, fd);
    fake_loop_run(server.loop);
    while (server.worker.connections != NULL) {
        fake_timer_fire(server.loop, &server.worker.connections->timer);
        fake_loop_run(server.loop);
    }
    expect_nobody_waits();
    fake_server_close();
}

static void a_client_that_is_cut_leaves_nothing(void)
{
    (void)hold_one_back();
    transmission_abort(transmission_at(0));
    fake_loop_run(server.loop);
    expect_nobody_waits();
    EXPECT(!look());
    fake_server_close();
}

static void suspend_waits_for_nothing(void)
{
    int fd = hold_one_back();
    struct transmission *t = transmission_at(0);

    t->suspended = true;
    EXPECT(t->holds.commands == 0);
    while (go_on())
        continue;
    EXPECT(t->held_up && !t->throttle.running);
    transmission_resume(t);
    fake_loop_run(server.loop);
    while (go_on())
        continue;
    fake_client_expect_simple(fd, 2, 0);
    fake_client_expect_data(fd, 0, 512);
    fake_client_leave(fd);
    expect_nobody_waits();
    fake_server_close();
}

static void changes_are_noticed_while_waiting(void)
{
    int fd = hold_one_back();

    limit_iops(0);
    look_again();
    fake_client_expect_simple(fd, 2, 0);
    fake_client_expect_data(fd, 0, 512);
    expect_nobody_waits();
    EXPECT(!look());
    limit_iops(1);
    for (unsigned i = 3; i < 6; i++)
        fake_client_send(fd, NBD_CMD_READ, i, 0, 512);
    fake_loop_run(server.loop);
    limit_iops(1000);
    look_again();
    uint64_t changed_ns = loop_batch_ns;
    while (go_on())
        continue;
    EXPECT(loop_batch_ns - changed_ns < 10 * MS);
    take_all(fd);
    fake_client_leave(fd);
    expect_nobody_waits();
    fake_server_close();
}

static void a_thousand_changes_a_second(void)
{
    int fd = hold_one_back();
    uint64_t end_ns = loop_batch_ns + 20 * SECOND;
    struct transmission *t = transmission_at(0);
    uint64_t fire_at_ns = 0;
    unsigned sent = 2, answered = 0;

    while (loop_batch_ns < end_ns) {
        limit_iops(sent % 2 == 0 ? 50 : 150);
        loop_batch_ns += MS;
        long ms = fake_timer_ms(server.loop, &t->throttle.timer);
        if (ms >= 0 && fire_at_ns == 0)
            fire_at_ns = loop_batch_ns + (uint64_t)(ms - 1) * MS;
        if (ms >= 0 && loop_batch_ns >= fire_at_ns) {
            fake_timer_fire(server.loop, &t->throttle.timer);
            fire_at_ns = 0;
        }
        fake_client_send(fd, NBD_CMD_FLUSH, sent++, 0, 0);
        if (sent % 4 == 0)
            fake_client_send(fd, NBD_CMD_READ, UINT64_MAX, 0, 512);
        fake_loop_run(server.loop);
        take_all(fd);
    }
    struct board_figures figures;
    EXPECT(board_sum_export(server.board, server.ex.place, &figures));
    answered = (unsigned)board_histogram_count(&figures.request[BOARD_READ]);
    EXPECT(answered > 1960 && answered < 2040);
    limit_iops(0);
    while (go_on())
        take_all(fd);
    take_all(fd);
    fake_client_leave(fd);
    expect_nobody_waits();
    fake_server_close();
}

/* Two connections of one client share what it has; another one has as much. */
static void each_client_has_its_own(void)
{
    const struct limit_terms client = { .rate[LIMIT_IOPS] = 100 };

    open_limited(&(struct limit_terms){ .client_iops = 100 });
    limit_clients_use(&server.ex.clients, &client, loop_batch_ns);
    expect_time(time_of(1, 500, NBD_CMD_READ), 5);
    loop_batch_ns += 10 * SECOND;
    expect_time(time_of(4, 500, NBD_CMD_READ), 5);
    /* Who comes back still owes. */
    int fd = fake_client_attach(false);
    fake_client_send(fd, NBD_CMD_READ, 1, 0, 512);
    fake_loop_run(server.loop);
    EXPECT(look() && seen.phase == BOARD_THROTTLED);
    struct limit_set *other = limit_clients_enter(&server.ex.clients, "another one", loop_batch_ns);
    EXPECT(other != transmission_at(0)->throttle.client && !limit_set_owes(other, loop_batch_ns));
    limit_clients_leave(&server.ex.clients, other, loop_batch_ns);
    while (go_on())
        take_all(fd);
    take_all(fd);
    fake_client_leave(fd);
    fake_server_close();
}

/* ---- BLOCK_STATUS ---- */

/* A structured client, for whom so many contexts were agreed on. */
static int attach_contexts(unsigned contexts)
{
    int fd = fake_client_attach(true);

    transmission_at(0)->terms.contexts = META_CONTEXT_BIT(contexts) - 1;
    return fd;
}

static void expect_time_of_statuses(int fd, unsigned requests, double seconds)
{
    uint64_t begin_ns = loop_batch_ns;

    for (unsigned i = 0; i < requests; i++)
        fake_client_send(fd, NBD_CMD_BLOCK_STATUS, i, 0, 4096);
    fake_loop_run(server.loop);
    while (go_on())
        take_all(fd);
    take_all(fd);
    expect_time(loop_batch_ns - begin_ns, seconds);
}

/* What asks about 16 contexts costs 16 times as much as what asks about one. */
static void each_context_is_an_operation(void)
{
    static const unsigned contexts[] = { 0, 1, 2, 16 };

    for (size_t i = 0; i < sizeof contexts / sizeof contexts[0]; i++) {
        open_limited(&(struct limit_terms){ .rate[LIMIT_READ_IOPS] = 100 });
        int fd = attach_contexts(contexts[i]);
        /* What was taken last need not be paid for yet. */
        expect_time_of_statuses(fd, 101, contexts[i] > 1 ? contexts[i] : 1);
        fake_client_leave(fd);
        fake_server_close();
    }
}

/* As if that had been agreed on; it waits for a compact one already. */
static void use_extended_headers(int fd)
{
    struct transmission *t = transmission_at(0);

    t->header_bytes = NBD_EXTENDED_REQUEST_BYTES;
    fake_client_send(fd, NBD_CMD_FLUSH, 0, 0, 0);
    fake_loop_run(server.loop);
    take_all(fd);
    t->terms.extended = t->outbox.extended = true;
}

/* With extended headers, and a payload that names so many: right ones or wrong ones. */
static void send_query(int fd, uint64_t cookie, unsigned contexts, uint32_t first)
{
    uint8_t bytes[NBD_EXTENDED_REQUEST_BYTES + 8 + 4 * 64];
    uint8_t *query = bytes + NBD_EXTENDED_REQUEST_BYTES;
    struct nbd_request request = { .command = NBD_CMD_BLOCK_STATUS,
                                   .flags = NBD_CMD_FLAG_PAYLOAD_LEN,
                                   .cookie = cookie,
                                   .length_bytes = 8 + 4 * contexts };

    EXPECT(contexts <= 64);
    nbd_encode_extended_request(bytes, &request);
    nbd_put_u64(query, 4096);
    for (unsigned i = 0; i < contexts; i++)
        nbd_put_u32(query + 8 + 4 * i, first + i);
    fake_socket_feed(server.loop, fd, bytes, NBD_EXTENDED_REQUEST_BYTES + 8 + 4 * contexts);
}

/* By a payload that costs which it asks about.  Whatever a wrong one says, it costs no more than
 * all that there are. */
static void named_contexts_are_counted(void)
{
    static const struct {
        unsigned named, first, cost;
    } cases[] = {
        { 1, NBD_CONTEXT_BASE_ALLOCATION_ID + 9, 1 }, { 3, NBD_CONTEXT_BASE_ALLOCATION_ID, 3 },
        { 16, NBD_CONTEXT_BASE_ALLOCATION_ID, 16 },   { 2, 4711, 2 },
        { 64, NBD_CONTEXT_BASE_ALLOCATION_ID, 16 },   { 0, 0, 16 },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        open_limited(&(struct limit_terms){ .rate[LIMIT_IOPS] = 100 });
        int fd = attach_contexts(16);
        use_extended_headers(fd);
        uint64_t begin_ns = loop_batch_ns;
        for (unsigned n = 0; n < 101; n++)
            send_query(fd, n, cases[i].named, cases[i].first);
        fake_loop_run(server.loop);
        while (go_on())
            take_all(fd);
        take_all(fd);
        expect_time(loop_batch_ns - begin_ns, cases[i].cost);
        transmission_abort(transmission_at(0));
        fake_loop_run(server.loop);
        fake_server_close();
    }
}

/* The extents that one reply tells of, of a chunk of one context. */
static uint32_t take_extents(int fd)
{
    uint8_t bytes[NBD_CHUNK_HEADER_BYTES], descriptor[8];
    struct nbd_chunk chunk;

    fake_client_take(fd, bytes, sizeof bytes);
    EXPECT(nbd_decode_chunk(bytes, &chunk) && chunk.type == NBD_REPLY_TYPE_BLOCK_STATUS);
    fake_client_take(fd, descriptor, 4);
    for (uint32_t at = 4; at < chunk.length_bytes; at += sizeof descriptor)
        fake_client_take(fd, descriptor, sizeof descriptor);
    return (chunk.length_bytes - 4) / 8;
}

/* Each list of extents that storage is asked for is an operation: where the limit has none left,
 * the reply ends, and the next command waits
 * as it would behind any other. */
static void long_replies_end_early(void)
{
    const uint32_t list_extents =
        (PIECE_EXTENTS_BYTES - sizeof(struct extent_list)) / sizeof(struct extent);

    open_limited(&(struct limit_terms){ .rate[LIMIT_IOPS] = 100 });
    server.backend.extent_bytes = 512;
    int fd = attach_contexts(1);
    fake_client_send(fd, NBD_CMD_BLOCK_STATUS, 1, 0, FAKE_DISK_BYTES);
    fake_client_send(fd, NBD_CMD_BLOCK_STATUS, 2, 0, FAKE_DISK_BYTES);
    fake_loop_run(server.loop);
    EXPECT(take_extents(fd) == 3 * list_extents); /* 20 ms have two more */
    EXPECT(waits(server.worker.connections) && transmission_at(0)->holds.commands == 0);
    EXPECT(go_on() && loop_batch_ns == START + 11 * MS);
    EXPECT(take_extents(fd) == list_extents);
    limit_iops(0);
    fake_client_send(fd, NBD_CMD_BLOCK_STATUS, 3, 0, FAKE_DISK_BYTES);
    fake_loop_run(server.loop);
    EXPECT(take_extents(fd) == FAKE_DISK_BYTES / 512);
    fake_client_leave(fd);
    expect_nobody_waits();
    fake_server_close();
}

/* One that waits for a slot after it was let through does not pay twice. */
static void one_that_is_parked_pays_once(void)
{
    open_limited(&(struct limit_terms){ .rate[LIMIT_IOPS] = 1000000 });
    int fd = fake_client_attach(false);
    server.backend.hold = true;
    for (unsigned i = 0; i < 200; i++)
        fake_client_send(fd, NBD_CMD_READ, i, 0, 512);
    fake_loop_run(server.loop);
    EXPECT(transmission_at(0)->receive_waits && transmission_at(0)->throttle.paid);
    limit_iops(1);
    server.backend.hold = false;
    fake_backend_release_all(&server.backend);
    fake_loop_run(server.loop);
    EXPECT(!transmission_at(0)->throttle.paid);
    limit_iops(0);
    while (go_on())
        take_all(fd);
    take_all(fd);
    fake_client_leave(fd);
    fake_server_close();
}

static const struct check checks[] = {
    { "a command that is held back holds a header only, and is seen", holds_only_a_header },
    { "operations a second are exact within 2 %, from 1 to 500,000", rates_are_exact },
    { "bytes a second are exact within 2 %", bandwidth_is_exact },
    { "each limit counts what it is about", each_kind_counts_its_own },
    { "a command that is refused costs others no more than one that is not",
      refused_costs_no_more },
    { "the parts of a command are as many operations as the whole", parts_are_the_whole },
    { "a burst lasts as long as it may, and no longer", bursts_last_as_long_as_they_may },
    { "FLUSH and DISC wait for what came before them, and for no limit", flush_and_disc_are_free },
    { "other clients are not held up", others_are_not_held_up },
    { "the end of the server waits for no limit", the_end_does_not_wait },
    { "a client that is cut leaves nothing behind", a_client_that_is_cut_leaves_nothing },
    { "an export is suspended beside one that waits", suspend_waits_for_nothing },
    { "a change is noticed by those who wait", changes_are_noticed_while_waiting },
    { "limits that change 1,000 times a second are kept", a_thousand_changes_a_second },
    { "each client has limits of its own, over all of its connections", each_client_has_its_own },
    { "a BLOCK_STATUS is an operation for each context", each_context_is_an_operation },
    { "one that names contexts is an operation for each of those", named_contexts_are_counted },
    { "a long reply takes an operation for each of its parts, or ends", long_replies_end_early },
    { "a command that waits for a slot pays once", one_that_is_parked_pays_once },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
