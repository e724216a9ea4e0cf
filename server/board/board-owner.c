#include "server/board/board-owner.h"

static struct board_spare *spare(const struct board *board)
{
    return board_at(board, board->head->spare_at);
}

void board_say_end(const struct board *board, enum board_end end)
{
    board_put_last(&board->head->end, (uint32_t)end);
}

struct board_worker_row *board_worker_row(const struct board *board, unsigned index)
{
    return (struct board_worker_row *)board_at(board, board->head->workers_at) + index;
}

/* ---- connections ---- */

static void begin_change(uint64_t *sequence)
{
    board_put(sequence, board_get(sequence) + 1);
}

static void end_change(uint64_t *sequence)
{
    board_put_last(sequence, board_get(sequence) + 1);
}

static struct board_connection_row *take_connection(const struct board *board)
{
    board_place place = board_row_take(board, BOARD_CONNECTION_ROWS);

    return place != 0 ? board_at(board, place) : &spare(board)->connection;
}

struct board_connection_row *board_connection_begin(const struct board *board, unsigned worker,
                                                    const char *peer)
{
    struct board_connection_row *row = take_connection(board);

    begin_change(&row->sequence);
    board_put_last(&row->worker, worker);
    board_put_last(&row->id,
                   1 + __atomic_fetch_add(&board->head->connections, 1, __ATOMIC_RELAXED));
    board_put_last(&row->export_id, 0);
    board_put_last(&row->since_ns, board_now_ns());
    board_put_last(&row->attached_ns, 0);
    board_put_last(&row->state, BOARD_HANDSHAKE);
    board_put_last(&row->export, 0);
    board_text_put(row->peer, peer, sizeof row->peer);
    board_text_put(row->tls, "", sizeof row->tls);
    board_put_last(&row->requests, 0);
    board_put_last(&row->errors, 0);
    for (unsigned i = 0; i < BOARD_OPS; i++)
        board_put_last(&row->bytes[i], 0);
    board_put_last(&row->in_flight, 0);
    board_put_last(&row->waits, 0);
    board_put_last(&row->held_since_ns, 0);
    end_change(&row->sequence);
    return row;
}

void board_connection_move(struct board_connection_row *row, enum board_state state)
{
    begin_change(&row->sequence);
    board_put_last(&row->state, state);
    end_change(&row->sequence);
}

void board_connection_describe(struct board_connection_row *row, const char *peer, const char *tls)
{
    begin_change(&row->sequence);
    board_text_put(row->peer, peer, sizeof row->peer);
    board_text_put(row->tls, tls, sizeof row->tls);
    end_change(&row->sequence);
}

void board_connection_attach(const struct board *board, struct board_connection_row *row,
                             board_place export)
{
    struct board_export_row *of = export != BOARD_NOWHERE ? board_at(board, export) : NULL;

    begin_change(&row->sequence);
    board_put_last(&row->state, BOARD_TRANSMISSION);
    board_put_last(&row->attached_ns, board_now_ns());
    if (of != NULL) {
        board_put_last(&row->export_id, board_get(&of->id));
        board_put_last(&row->export, export);
        __atomic_fetch_add(&of->connections, 1, __ATOMIC_RELAXED);
    }
    end_change(&row->sequence);
}

void board_connection_hold(struct board_connection_row *row, enum board_op op,
                           uint64_t offset_bytes, uint64_t length_bytes, uint64_t since_ns)
{
    begin_change(&row->sequence);
    board_put_last(&row->held_op, op);
    board_put_last(&row->held_offset_bytes, offset_bytes);
    board_put_last(&row->held_length_bytes, length_bytes);
    board_put_last(&row->held_since_ns, since_ns);
    end_change(&row->sequence);
}

void board_connection_let_go(struct board_connection_row *row)
{
    begin_change(&row->sequence);
    board_put_last(&row->held_since_ns, 0);
    end_change(&row->sequence);
}

void board_connection_end(const struct board *board, struct board_connection_row *row)
{
    board_place export = board_get(&row->export);

    if (export != 0)
        __atomic_fetch_sub(&((struct board_export_row *)board_at(board, export))->connections, 1,
                           __ATOMIC_RELAXED);
    begin_change(&row->sequence);
    board_put_last(&row->id, 0);
    board_put_last(&row->state, BOARD_NONE);
    end_change(&row->sequence);
    if (row != &spare(board)->connection)
        board_row_give(board, BOARD_CONNECTION_ROWS, board_place_of(board, row));
}

/* ---- commands ---- */

struct board_command_row *board_commands_begin(const struct board *board)
{
    board_place place = board_row_take(board, BOARD_COMMAND_ROWS);

    return place != 0 ? board_at(board, place) : spare(board)->commands;
}

void board_commands_end(const struct board *board, struct board_command_row *rows)
{
    if (rows == spare(board)->commands)
        return;
    for (size_t i = 0; i < BOARD_COMMANDS; i++)
        board_command_end(&rows[i]);
    board_row_give(board, BOARD_COMMAND_ROWS, board_place_of(board, rows));
}
