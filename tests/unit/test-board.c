/* What an observer sees on the board is what the owners of its rows wrote, whole. */
#include "server/board/board-owner.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench/histogram.h"
#include "bench/random.h"
#include "server/base/log.h"
#include "server/nbd/nbd-wire.h"
#include "tests/support/check.h"

#define WORKERS 3u

static struct board *board;
static struct error err;

static void open_board(void)
{
    EXPECT(board_create(&board, WORKERS, &err) == 0);
}

static void close_board(void)
{
    board_destroy(board);
}

static unsigned connections(const struct board *on)
{
    struct board_connection connection;
    board_cursor cursor = 0;
    unsigned count = 0;

    while (board_next_connection(on, &cursor, &connection))
        count++;
    return count;
}

/* ---- connections ---- */

static void connections_come_and_go(void)
{
    struct board_connection seen;

    open_board();
    struct board_connection_row *row = board_connection_begin(board, 2, "client [::1]:7");
    EXPECT(board_read_connection(board, 1, &seen) && connections(board) == 1);
    EXPECT(seen.state == BOARD_HANDSHAKE && seen.worker == 2 && !seen.torn);
    EXPECT(seen.since_ns >= board_since_ns(board) && seen.attached_ns == 0);
    EXPECT_TEXT(seen.peer, "client [::1]:7");
    EXPECT_TEXT(seen.tls, "");

    board_place place = board_export_begin(board, 12, "vm7");
    board_connection_describe(row, "client [::1]:7 (CN=vm7)", "TLS 1.3");
    board_connection_attach(board, row, place);
    board_add(&row->bytes[BOARD_READ], 512);
    board_add(&row->requests, 1);
    EXPECT(board_read_connection(board, 1, &seen));
    EXPECT(seen.state == BOARD_TRANSMISSION && seen.export_id == 12);
    EXPECT(seen.read_bytes == 512 && seen.requests == 1 && seen.attached_ns >= seen.since_ns);
    EXPECT_TEXT(seen.peer, "client [::1]:7 (CN=vm7)");
    EXPECT_TEXT(seen.tls, "TLS 1.3");

    board_connection_end(board, row);
    EXPECT(!board_read_connection(board, 1, &seen) && connections(board) == 0);
    EXPECT(board_connection_begin(board, 0, "next") == row); /* the row again, not the number */
    EXPECT(board_read_connection(board, 2, &seen) && seen.requests == 0 && seen.export_id == 0);
    EXPECT_TEXT(seen.tls, "");
    close_board();
}

static void long_texts_are_cut_between_characters(void)
{
    struct board_connection seen;
    char text[2 * BOARD_PEER_BYTES + 1];

    open_board();
    for (size_t i = 0; i < BOARD_PEER_BYTES; i++)
        memcpy(text + 2 * i, "\xc3\xa4", 2);
    text[2 * BOARD_PEER_BYTES] = '\0';
    board_connection_begin(board, 0, text + 1); /* so that the cut falls into one */
    EXPECT(board_read_connection(board, 1, &seen));
    EXPECT(strlen(seen.peer) == BOARD_PEER_BYTES - 1);
    board_connection_begin(board, 0, text);
    EXPECT(board_read_connection(board, 2, &seen));
    EXPECT(strlen(seen.peer) == BOARD_PEER_BYTES - 2);
    close_board();
}

static void thousands_are_all_seen(void)
{
    static struct board_connection_row *rows[3000];

    open_board();
    for (size_t i = 0; i < 3000; i++)
        rows[i] = board_connection_begin(board, (unsigned)(i % WORKERS), "client");
    EXPECT(connections(board) == 3000);
    for (size_t i = 0; i < 3000; i += 3)
        board_connection_end(board, rows[i]);
    EXPECT(connections(board) == 2000 && board_lost(board) == 0);
    close_board();
}

static void torn_rows_are_marked(void)
{
    struct board_connection seen;
    board_cursor cursor = 0;

    open_board();
    struct board_connection_row *row = board_connection_begin(board, 0, "client");
    row->sequence++; /* its owner stopped within a change */
    EXPECT(board_next_connection(board, &cursor, &seen) && seen.torn && seen.id == 1);
    row->sequence++;
    EXPECT(board_read_connection(board, 1, &seen) && !seen.torn);
    close_board();
}

/* ---- commands ---- */

static void commands_are_seen_while_they_last(void)
{
    struct board_command seen;
    board_cursor cursor = 0;

    open_board();
    struct board_connection_row *connection = board_connection_begin(board, 1, "client");
    board_connection_attach(board, connection, board_export_begin(board, 5, "db"));
    struct board_command_row *rows = board_commands_begin(board);
    EXPECT(!board_next_command(board, &cursor, &seen));

    board_command_begin(&rows[7], board_place_of(board, connection), BOARD_WRITE, 4096, 512, 99);
    board_command_move(&rows[7], BOARD_BACKEND);
    cursor = 0;
    EXPECT(board_next_command(board, &cursor, &seen) && !seen.torn);
    EXPECT(seen.connection == 1 && seen.export_id == 5 && seen.worker == 1);
    EXPECT(seen.op == BOARD_WRITE && seen.phase == BOARD_BACKEND && seen.start_ns == 99);
    EXPECT(seen.offset_bytes == 4096 && seen.length_bytes == 512);
    EXPECT(!board_next_command(board, &cursor, &seen));

    board_command_end(&rows[7]);
    cursor = 0;
    EXPECT(!board_next_command(board, &cursor, &seen));
    board_commands_end(board, rows);
    EXPECT(board_commands_begin(board) == rows);
    close_board();
}

/* ---- workers ---- */

static void a_turn_that_lasts_is_a_stall(void)
{
    struct board_worker seen;

    open_board();
    struct board_worker_row *row = board_worker_row(board, 1);
    board_read_worker(board, 1, &seen);
    EXPECT(board_workers(board) == WORKERS && seen.index == 1 && seen.tid == 0);
    EXPECT(board_worker_stall_ns(&seen, 50) == 0); /* it has not begun */
    row->tid = 7;
    row->turns = (struct loop_turns){ .count = 3, .start_ns = 20 };
    board_read_worker(board, 1, &seen);
    EXPECT(board_worker_stall_ns(&seen, 50) == 30 && board_worker_stall_ns(&seen, 10) == 0);
    row->turns.asleep = 1;
    board_read_worker(board, 1, &seen);
    EXPECT(board_worker_stall_ns(&seen, 50) == 0 && seen.asleep);
    close_board();
}

/* ---- figures ---- */

static void figures_stay_when_clients_leave(void)
{
    static struct board_figures seen;
    struct board_export export;

    open_board();
    board_place place = board_export_begin(board, 3, "vm3");
    struct board_figure_row *first = board_figures_begin(board, place, 0);
    struct board_figure_row *second = board_figures_begin(board, place, 2);
    EXPECT(board_figures_begin(board, place, 0) == first && second != first);
    board_record(&first->figures.request[BOARD_READ], 5000);
    board_record(&second->figures.request[BOARD_READ], 9000);
    board_add(&second->figures.errors[BOARD_WRITE][board_error_index(NBD_ENOSPC)], 1);

    for (unsigned left = 0; left < 3; left++) {
        EXPECT(board_sum_export(board, place, &seen));
        EXPECT(board_histogram_count(&seen.request[BOARD_READ]) == 2 && seen.attached == 3);
        EXPECT(seen.request[BOARD_READ].sum_ns == 14000);
        board_figures_end(board, left == 1 ? second : first);
    }
    EXPECT(board_sum_export(board, place, &seen));
    EXPECT(board_histogram_count(&seen.request[BOARD_READ]) == 2);
    EXPECT(seen.errors[BOARD_WRITE][board_error_index(NBD_ENOSPC)] == 1);

    /* One comes back: it counts on. */
    first = board_figures_begin(board, place, 0);
    board_record(&first->figures.request[BOARD_READ], 1);
    board_figures_end(board, first);
    EXPECT(board_sum_export(board, place, &seen));
    EXPECT(board_histogram_count(&seen.request[BOARD_READ]) == 3 && seen.attached == 4);

    EXPECT(board_read_export(board, 3, &export) && export.place == place);
    EXPECT_TEXT(export.name, "vm3");
    board_export_end(board, place);
    EXPECT(!board_read_export(board, 3, &export));
    EXPECT(board_sum_export(board, BOARD_GONE, &seen) && seen.attached == 4);
    EXPECT(board_sum_all(board, &seen) && seen.request[BOARD_READ].sum_ns == 14001);

    /* Another in its place begins with nothing. */
    EXPECT(board_export_begin(board, 4, "vm4") == place);
    EXPECT(board_sum_export(board, place, &seen) && seen.attached == 0);
    EXPECT(board_sum_all(board, &seen) && seen.attached == 4);
    close_board();
}

static uint64_t reads_of(board_place place)
{
    static struct board_figures seen;

    EXPECT(board_sum_export(board, place, &seen));
    return board_histogram_count(&seen.request[BOARD_READ]);
}

static uint64_t slow_of(board_place place)
{
    static struct board_figures seen;

    EXPECT(board_sum_export(board, place, &seen));
    return seen.slow;
}

static void read_by(struct board_figure_row *row, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        board_record(&row->figures.request[BOARD_READ], 5000);
}

/* The name of an export goes on counting when another one takes its place: whoever of the two is
 * first at its end, and whoever has clients still. */
static void figures_go_on_when_an_export_is_replaced(void)
{
    static struct board_figures all;
    struct board_export row;

    for (unsigned last_is_first = 0; last_is_first < 2; last_is_first++) {
        open_board();
        board_place first = board_export_begin(board, 1, "vm");
        struct board_figure_row *left = board_figures_begin(board, first, 0);
        struct board_figure_row *stays = board_figures_begin(board, first, 1);
        read_by(left, 3);
        board_figures_end(board, left);
        read_by(stays, 10);

        board_place second = board_export_begin(board, 2, "vm");
        EXPECT(reads_of(second) == 0);
        board_export_replace(board, first, second);
        EXPECT(reads_of(second) == 13 && reads_of(first) == 13);
        EXPECT(board_read_export(board, 1, &row) && row.replaced);
        EXPECT(board_read_export(board, 2, &row) && !row.replaced);
        read_by(stays, 1);
        struct board_figure_row *newer = board_figures_begin(board, second, 0);
        read_by(newer, 100);
        board_export_was_slow(board, first);
        board_export_was_slow(board, second);
        board_place third = board_export_begin(board, 3, "vm");
        board_export_replace(board, second, third);
        board_export_was_slow(board, third);
        EXPECT(slow_of(third) == 3 && slow_of(second) == 2);
        EXPECT(reads_of(third) == 114);
        EXPECT(board_sum_all(board, &all));
        EXPECT(board_histogram_count(&all.request[BOARD_READ]) == 114);

        uint64_t moves = board_moves(board);
        board_figures_end(board, newer);
        if (last_is_first) {
            board_export_end(board, second);
            EXPECT(reads_of(third) == 114);
        }
        board_figures_end(board, stays);
        board_export_end(board, first);
        EXPECT(reads_of(third) == 114 && board_moves(board) > moves);
        EXPECT(slow_of(third) == 3);
        if (!last_is_first)
            board_export_end(board, second);
        EXPECT(reads_of(third) == 114);
        EXPECT(board_sum_all(board, &all));
        EXPECT(board_histogram_count(&all.request[BOARD_READ]) == 114);
        board_export_end(board, third);
        EXPECT(board_sum_export(board, BOARD_GONE, &all));
        EXPECT(board_histogram_count(&all.request[BOARD_READ]) == 114 && all.slow == 3);
        close_board();
    }
}

static void handshakes_are_counted(void)
{
    static struct board_histogram seen;

    open_board();
    board_handshake_took(board, true, 3000000);
    board_handshake_took(board, true, 5000);
    board_read_handshakes(board, true, &seen);
    EXPECT(board_histogram_count(&seen) == 2 && seen.sum_ns == 3005000);
    EXPECT(board_histogram_below(&seen, 8) == 1);
    board_read_handshakes(board, false, &seen);
    EXPECT(board_histogram_count(&seen) == 0);
    board_tls_handshake_took(board, 7000);
    board_read_tls_handshakes(board, &seen);
    EXPECT(board_histogram_count(&seen) == 1 && seen.sum_ns == 7000);
    close_board();
}

static void places_of_other_things_have_no_figures(void)
{
    static struct board_figures seen;

    open_board();
    struct board_connection_row *row = board_connection_begin(board, 0, "client");
    EXPECT(!board_sum_export(board, board_place_of(board, row), &seen));
    EXPECT(!board_sum_export(board, BOARD_NOWHERE, &seen));
    EXPECT(!board_sum_export(board, 1, &seen));
    close_board();
}

/* ---- durations ---- */

static void durations_are_right_within_a_quarter(void)
{
    static struct histogram exact;
    static struct board_histogram coarse;
    static const double fractions[] = { 0.01, 0.5, 0.9, 0.99, 0.999, 1 };
    struct random random = { 1 };

    for (unsigned i = 0; i < 200000; i++) {
        uint64_t ns = (random_next(&random) >> 34) >> (random_next(&random) % 26);

        histogram_record(&exact, ns);
        board_record(&coarse, ns);
    }
    EXPECT(board_histogram_count(&coarse) == exact.total && coarse.sum_ns == exact.sum);
    for (size_t i = 0; i < sizeof fractions / sizeof fractions[0]; i++) {
        double right_us = (double)histogram_quantile(&exact, fractions[i]) / 1000;
        double got_us = (double)board_histogram_quantile_us(&coarse, fractions[i]);

        EXPECT(got_us >= right_us * (1 - 1.0 / 64) - 1 && got_us <= right_us * 1.25 + 1);
    }
}

static void powers_of_two_are_bounds(void)
{
    static struct board_histogram histogram;

    for (unsigned power = 1; power < 30; power++) {
        uint64_t us = UINT64_C(1) << power, ns = us * 1000;

        histogram = (struct board_histogram){ 0 };
        board_record(&histogram, ns - ns / 1000000 - 1);
        board_record(&histogram, ns + ns / 1000000);
        EXPECT(board_histogram_count(&histogram) == 2);
        EXPECT(board_histogram_below(&histogram, us) == (power <= BOARD_DURATION_OCTAVES ? 1 : 0));
        if (power < BOARD_DURATION_OCTAVES)
            EXPECT(board_histogram_below(&histogram, 2 * us) == 2);
    }
    EXPECT(board_bucket(0) == 0 && board_bucket(1249) == 0 && board_bucket(1251) == 1);
    EXPECT(board_bucket(INT64_MAX) == BOARD_BUCKETS - 1);
    EXPECT(board_histogram_quantile_us(&(struct board_histogram){ 0 }, 0.5) == 0);
}

/* ---- lines ---- */

static void the_last_lines_are_kept(void)
{
    static struct board_line lines[BOARD_LINES];
    char text[400];

    open_board();
    EXPECT(board_read_lines(board, 0, lines, BOARD_LINES) == 0);
    board_line(board, 2, false, "listening");
    for (unsigned i = 0; i < 5000; i++) { /* a client says much: our own stay */
        snprintf(text, sizeof text, "client %u\nof many", i);
        board_line(board, 4, true, text);
    }
    size_t count = board_read_lines(board, 0, lines, BOARD_LINES);
    EXPECT(count == BOARD_RING_LINES + 1);
    EXPECT_TEXT(lines[0].text, "listening");
    EXPECT(lines[0].number == 1 && lines[0].level == 2);
    EXPECT_TEXT(lines[count - 1].text, "client 4999\\x0aof many");
    EXPECT(lines[count - 1].number == 5001 && lines[1].number == 5001 - BOARD_RING_LINES + 1);
    EXPECT(board_read_lines(board, 4999, lines, BOARD_LINES) == 2 && lines[0].number == 5000);
    EXPECT(board_read_lines(board, 0, lines, 3) == 3 && lines[2].number == 5001);

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    board_line(board, 0, false, text);
    EXPECT(board_read_lines(board, 5001, lines, 1) == 1);
    EXPECT(strlen(lines[0].text) == BOARD_LINE_BYTES - 1);
    close_board();
}

static void the_log_is_on_it_whatever_its_level(void)
{
    static struct board_line lines[BOARD_LINES];

    open_board();
    board_keep_log(board);
    log_set_level(LOG_ERROR);
    errno = ENOSPC;
    log_debug("a disk is full: %m");
    EXPECT(errno == ENOSPC);
    log_write_of(LOG_NOTICE, "client [::1]:7", "attached export '%s'", "a");
    board_keep_log(NULL);
    log_debug("nobody keeps this");
    EXPECT(board_read_lines(board, 0, lines, BOARD_LINES) == 2);
    EXPECT_TEXT(lines[0].text, "a disk is full: No space left on device");
    EXPECT(lines[0].level == LOG_DEBUG && lines[1].level == LOG_NOTICE);
    EXPECT_TEXT(lines[1].text, "client [::1]:7: attached export 'a'");
    EXPECT(lines[1].time_ns / 1000000000 >= 1700000000);
    close_board();
}

/* ---- the mapping ---- */

static void another_process_sees_it_and_cannot_change_it(void)
{
    struct board_connection seen;
    struct board *other;

    open_board();
    board_connection_begin(board, 0, "before");
    EXPECT(board_fd(board) >= 0 && board_open(&other, board_fd(board), &err) == 0);
    board_connection_begin(board, 1, "after");
    EXPECT(connections(other) == 2 && board_read_connection(other, 2, &seen));
    EXPECT_TEXT(seen.peer, "after");
    EXPECT(board_workers(other) == WORKERS && board_since_ns(other) == board_since_ns(board));
    board_destroy(other);
    close_board();
    EXPECT(board_open(&other, 0, &err) < 0);
}

/* Of one head after the other each number is wrong: it is not taken, or nothing outside is read. */
static void a_broken_one_breaks_nobody(void)
{
    const uint32_t wrong[] = { 0, 1, 100000, 0x7fffffff, UINT32_MAX };
    static struct board_figures seen;

    for (unsigned at = 8; at < 64; at += sizeof wrong[0])
        for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
            struct board_command command;
            board_cursor cursor = 0;
            struct board *other;
            uint32_t right;

            open_board();
            EXPECT(pread(board_fd(board), &right, sizeof right, at) == sizeof right);
            EXPECT(pwrite(board_fd(board), &wrong[i], sizeof wrong[i], at) == sizeof wrong[i]);
            if (board_open(&other, board_fd(board), &err) == 0) {
                (void)board_sum_all(other, &seen);
                EXPECT(!board_next_command(other, &cursor, &command));
                board_destroy(other);
            }
            EXPECT(pwrite(board_fd(board), &right, sizeof right, at) == sizeof right);
            close_board();
        }
}

static void one_of_many_writes_the_report(void)
{
    open_board();
    EXPECT(board_take_report(board_fd(board)) && !board_take_report(board_fd(board)));
    EXPECT(board_end_of(board) == BOARD_CRASHED);
    close_board();
}

/* Clients are served all the same; they are not seen. */
static void without_room_nothing_fails(void)
{
    static struct board_figures seen;
    struct rlimit limit, before;
    unsigned rows = 0;

    EXPECT(getrlimit(RLIMIT_FSIZE, &before) == 0 && signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    limit = (struct rlimit){ .rlim_cur = 4096, .rlim_max = before.rlim_max };
    EXPECT(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    open_board();
    EXPECT(setrlimit(RLIMIT_FSIZE, &before) == 0);
    board_place place = board_export_begin(board, 1, "e");
    while (board_lost(board) == 0) {
        board_connection_begin(board, 0, "client");
        EXPECT(rows++ < 100000);
    }
    struct board_connection_row *row = board_connection_begin(board, 0, "client");
    board_connection_attach(board, row, place);
    struct board_command_row *commands = board_commands_begin(board);
    for (unsigned i = 0; i < BOARD_COMMANDS; i++)
        board_command_begin(&commands[i], board_place_of(board, row), BOARD_READ, 0, 1, 1);
    struct board_figure_row *figures = board_figures_begin(board, place, 0);
    board_record(&figures->figures.request[BOARD_READ], 1);
    board_figures_end(board, figures);
    board_commands_end(board, commands);
    board_connection_end(board, row);
    EXPECT(board_sum_export(board, place, &seen) && seen.attached == 0);
    EXPECT(connections(board) == rows - 1 && rows > 1000 && board_lost(board) >= 4);
    EXPECT(board_figures_begin(board, BOARD_NOWHERE, 0) != NULL);
    board_export_end(board, BOARD_NOWHERE);
    close_board();
}

static const struct check checks[] = {
    { "connections come and go", connections_come_and_go },
    { "long texts are cut between characters", long_texts_are_cut_between_characters },
    { "thousands are all seen", thousands_are_all_seen },
    { "torn rows are marked", torn_rows_are_marked },
    { "commands are seen while they last", commands_are_seen_while_they_last },
    { "a turn that lasts is a stall", a_turn_that_lasts_is_a_stall },
    { "figures stay when clients leave", figures_stay_when_clients_leave },
    { "figures go on when an export is replaced", figures_go_on_when_an_export_is_replaced },
    { "handshakes are counted", handshakes_are_counted },
    { "places of other things have no figures", places_of_other_things_have_no_figures },
    { "durations are right within a quarter", durations_are_right_within_a_quarter },
    { "powers of two are bounds", powers_of_two_are_bounds },
    { "the last lines are kept", the_last_lines_are_kept },
    { "the log is on it, whatever its level", the_log_is_on_it_whatever_its_level },
    { "another process sees it and cannot change it",
      another_process_sees_it_and_cannot_change_it },
    { "a broken one breaks nobody", a_broken_one_breaks_nobody },
    { "one of many writes the report", one_of_many_writes_the_report },
    { "without room nothing fails", without_room_nothing_fails },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
