/* 32 owners write their rows as fast as they can while 32 observers look: nothing that is seen is a
 * mixture of two writes, no sum goes back, and at the end all is counted. */
#include "server/board/board-owner.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "tests/support/check.h"

#define OWNERS 32u
#define OBSERVERS 32u
#define ROUNDS 300u
#define RECORDS 40u /* in a round */
#define LINES_IN_ROUND 2u
#define WHOLE 10000u /* rows that were seen of one slot */
#define SAME_NS 7u   /* many commands begin in one batch, one after the other in one slot */

static struct board *board;
static board_place places[2];
static atomic_uint owners_left = OWNERS;

/* ---- owners ---- */

/* All that belongs together says the same letter. */
static void write_texts(struct board_connection_row *row, unsigned letter)
{
    char peer[BOARD_PEER_BYTES], tls[BOARD_TLS_BYTES];

    memset(peer, 'a' + (int)letter, sizeof peer);
    memset(tls, 'a' + (int)letter, sizeof tls);
    peer[sizeof peer - 1] = tls[sizeof tls - 1] = '\0';
    board_connection_describe(row, peer, tls);
}

static void serve(struct board_command_row *rows, struct board_connection_row *row,
                  struct board_figure_row *figures, unsigned round)
{
    for (unsigned i = 0; i < RECORDS; i++) {
        struct board_command_row *command = &rows[i % 2];
        uint32_t length = round * RECORDS + i + 1;

        board_command_begin(command, board_place_of(board, row), BOARD_WRITE, (uint64_t)length * 3,
                            length, SAME_NS);
        board_command_move(command, BOARD_BACKEND);
        board_record(&figures->figures.request[BOARD_WRITE], i * 1000);
        board_command_end(command);
    }
}

static void *own(void *number)
{
    unsigned worker = (unsigned)(uintptr_t)number;
    struct board_command_row *rows = board_commands_begin(board);
    char line[64];

    for (unsigned round = 0; round < ROUNDS; round++) {
        struct board_connection_row *row = board_connection_begin(board, worker, "");
        board_place place = places[round % 2];
        struct board_figure_row *figures = board_figures_begin(board, place, worker);

        write_texts(row, round % 26);
        board_connection_attach(board, row, place);
        write_texts(row, (round + 1) % 26);
        serve(rows, row, figures, round);
        for (unsigned i = 0; i < LINES_IN_ROUND; i++) {
            snprintf(line, sizeof line, "%u.%u.%u", worker, worker, worker);
            board_line(board, (int)(worker % 5), i % 2 == 0, line);
        }
        board_figures_end(board, figures);
        board_connection_end(board, row);
    }
    board_commands_end(board, rows);
    atomic_fetch_sub(&owners_left, 1);
    return NULL;
}

/* ---- observers ---- */

static void check_text(const char *text, size_t bytes, char letter)
{
    for (size_t i = 0; i + 1 < bytes; i++)
        EXPECT(text[i] == letter);
}

static void look_at_connections(void)
{
    struct board_connection seen;
    board_cursor cursor = 0;

    while (board_next_connection(board, &cursor, &seen)) {
        if (seen.torn || seen.peer[0] == '\0')
            continue;
        EXPECT(seen.worker < OWNERS);
        check_text(seen.peer, sizeof seen.peer, seen.peer[0]);
        check_text(seen.tls, sizeof seen.tls, seen.peer[0]);
        EXPECT((seen.state == BOARD_TRANSMISSION) == (seen.attached_ns != 0));
    }
}

static void check_command(const struct board_command *seen)
{
    EXPECT(seen->op == BOARD_WRITE && seen->offset_bytes == seen->length_bytes * 3u);
    EXPECT(seen->start_ns == SAME_NS && seen->connection != 0);
    EXPECT(seen->phase == BOARD_BACKEND || seen->phase == BOARD_RECEIVE);
}

static void look_at_commands(void)
{
    struct board_command seen;
    board_cursor cursor = 0;

    while (board_next_command(board, &cursor, &seen))
        if (!seen.torn)
            check_command(&seen);
}

static void look_at_figures(uint64_t last[3])
{
    struct board_figures seen;

    for (unsigned i = 0; i < 3; i++) {
        if (!(i < 2 ? board_sum_export(board, places[i], &seen) : board_sum_all(board, &seen)))
            continue;
        uint64_t count = board_histogram_count(&seen.request[BOARD_WRITE]);

        EXPECT(count >= last[i] && seen.attached >= count / RECORDS);
        last[i] = count;
    }
}

static void look_at_lines(struct board_line *lines)
{
    size_t count = board_read_lines(board, 0, lines, BOARD_LINES);

    for (size_t i = 0; i < count; i++) {
        unsigned a, b, c;

        EXPECT(sscanf(lines[i].text, "%u.%u.%u", &a, &b, &c) == 3 && a == b && b == c);
        EXPECT(lines[i].level == (int)(a % 5));
        EXPECT(i == 0 || lines[i].number > lines[i - 1].number);
    }
}

static void *observe(void *number)
{
    struct board_line *lines = calloc(BOARD_LINES, sizeof *lines);
    uint64_t last[3] = { 0 };

    EXPECT(lines != NULL);
    for (unsigned look = (unsigned)(uintptr_t)number; atomic_load(&owners_left) > 0; look++) {
        look_at_connections();
        look_at_commands();
        if (look % 4 == 0)
            look_at_figures(last);
        if (look % 16 == 0)
            look_at_lines(lines);
    }
    free(lines);
    return NULL;
}

/* ---- one slot, as fast as it can be ---- */

static atomic_bool seen_enough;

static void *fill_one_slot(void *unused)
{
    struct board_command_row *row = board_commands_begin(board);
    struct board_connection_row *connection = board_connection_begin(board, 0, "");

    for (uint32_t i = 1; !atomic_load_explicit(&seen_enough, memory_order_relaxed); i++) {
        uint32_t length = i % 1000 + 1;

        board_command_begin(row, board_place_of(board, connection), BOARD_WRITE,
                            (uint64_t)length * 3, length, SAME_NS);
        board_command_end(row);
    }
    board_commands_end(board, row);
    board_connection_end(board, connection);
    return unused;
}

/* The first slot of a board is the first that is looked at. */
static void look_at_one_slot(void)
{
    struct board_command seen;
    pthread_t thread;

    EXPECT(pthread_create(&thread, NULL, fill_one_slot, NULL) == 0);
    for (unsigned whole = 0; whole < WHOLE;) {
        board_cursor cursor = 0;

        if (!board_next_command(board, &cursor, &seen) || seen.torn)
            continue;
        check_command(&seen);
        whole++;
    }
    atomic_store(&seen_enough, true);
    pthread_join(thread, NULL);
}

int main(void)
{
    static struct board_figures all;
    pthread_t threads[OWNERS + OBSERVERS];
    struct error err;

    EXPECT(board_create(&board, OWNERS, &err) == 0);
    places[0] = board_export_begin(board, 1, "a");
    places[1] = board_export_begin(board, 2, "b");
    for (size_t i = 0; i < OWNERS + OBSERVERS; i++)
        EXPECT(pthread_create(&threads[i], NULL, i % 2 == 0 ? own : observe,
                              (void *)(uintptr_t)(i / 2)) == 0);
    for (size_t i = 0; i < OWNERS + OBSERVERS; i++)
        pthread_join(threads[i], NULL);

    EXPECT(board_sum_all(board, &all) && all.attached == OWNERS * ROUNDS);
    EXPECT(board_histogram_count(&all.request[BOARD_WRITE]) == OWNERS * ROUNDS * RECORDS);
    board_export_end(board, places[0]);
    board_export_end(board, places[1]);
    EXPECT(board_sum_export(board, BOARD_GONE, &all) && all.attached == OWNERS * ROUNDS);
    EXPECT(board_lost(board) == 0);
    board_destroy(board);

    EXPECT(board_create(&board, 1, &err) == 0);
    look_at_one_slot();
    board_destroy(board);
    return EXIT_SUCCESS;
}
