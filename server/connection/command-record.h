/* What the board is told of the commands of one connection.  Part of the path of each request, so
 * it is inline: stores of numbers, by the time of the batch. */
#ifndef NBDCRYPT_COMMAND_RECORD_H
#define NBDCRYPT_COMMAND_RECORD_H

#include "server/base/probe.h"
#include "server/block/luks-layer.h"
#include "server/board/board-owner.h"
#include "server/connection/nbd-command.h"

_Static_assert(REQUEST_READ == (int)BOARD_READ && REQUEST_WRITE == (int)BOARD_WRITE &&
                   REQUEST_FLUSH == (int)BOARD_FLUSH && REQUEST_TRIM == (int)BOARD_TRIM &&
                   REQUEST_ZERO == (int)BOARD_ZERO && REQUEST_CACHE == (int)BOARD_CACHE &&
                   REQUEST_EXTENTS == (int)BOARD_STATUS && REQUEST_OP_COUNT == (int)BOARD_OPS,
               "what the pipeline is asked for is what observers see");

struct command_record {
    const struct board *board;
    struct board_connection_row *row;
    board_place place;                /* of that row */
    struct board_figure_row *figures; /* of this export on this worker ... */
    struct board_figures *counted;    /* ... in there, or elsewhere once nobody hears the answers */
    struct layer *top;                /* of the pipeline, for what its cipher does */
};

static inline void command_record_init(struct command_record *record, const struct board *board,
                                       struct board_connection_row *row, board_place export,
                                       unsigned worker, struct layer *top)
{
    record->board = board;
    record->row = row;
    record->place = board_place_of(board, row);
    record->figures = board_figures_begin(board, export, worker);
    record->counted = &record->figures->figures;
    record->top = top;
    luks_layer_count(top, record->counted->crypto);
}

static inline void command_record_free(struct command_record *record)
{
    if (board_figures_end(record->board, record->figures))
        luks_layer_count(record->top, NULL);
}

/* Nobody hears the answers that are still to come. */
static inline void command_record_abort(struct command_record *record)
{
    record->counted = board_spare_figures(record->board);
}

/* ---- the connection ---- */

static inline void command_record_in_flight(const struct command_record *record, unsigned commands)
{
    board_put(&record->row->in_flight, commands);
}

/* It waits for a slot or a buffer, or it does not. */
static inline void command_record_parked(const struct command_record *record, bool waits)
{
    board_put(&record->row->waits, waits);
}

/* A limit holds its next command back. */
static inline void command_record_hold(const struct command_record *record, enum request_op op,
                                       uint64_t offset_bytes, uint64_t length_bytes)
{
    board_connection_hold(record->row, (enum board_op)op, offset_bytes, length_bytes,
                          loop_now_ns());
    PROBE(throttle_park, record->row->id, record->row->export_id, op, offset_bytes, length_bytes);
}

/* It does so no more, after that time. */
static inline void command_record_let_go(const struct command_record *record, uint64_t since_ns)
{
    PROBE(throttle_unpark, record->row->id, record->row->export_id, loop_now_ns() - since_ns);
    board_connection_let_go(record->row);
    board_add(&record->counted->throttled_ns, loop_now_ns() - since_ns);
}

/* ---- one command ---- */

/* It has been checked. */
static inline void command_record_begin(const struct command_record *record,
                                        const struct command *command)
{
    board_command_begin(command->row, record->place, command->op, command->request.offset_bytes,
                        command->request.length_bytes, loop_now_ns());
    PROBE(request_begin, command->row, record->row->id, record->row->export_id, command->op,
          command->request.offset_bytes, command->request.length_bytes);
}

/* A limit has held it back since then, before it began. */
static inline void command_record_was_throttled(const struct command *command, uint64_t since_ns)
{
    board_command_was_throttled(command->row, since_ns);
}

/* A payload is awaited, or a slot or a buffer. */
static inline void command_record_wait(const struct command *command)
{
    board_command_move(command->row, BOARD_RECEIVE);
}

/* That is there for this fragment: with the first one its time in storage begins. */
static inline void command_record_go_on(const struct command *command, uint64_t start_bytes)
{
    struct board_command_row *row = command->row;

    board_command_move(row, BOARD_BACKEND);
    if (start_bytes == 0) {
        board_put(&row->backend_ns, loop_now_ns());
        PROBE(request_backend, row);
    }
}

/* The last of its fragments has come back. */
static inline void command_record_ready(const struct command *command)
{
    struct board_command_row *row = command->row;

    board_command_move(row, BOARD_READY);
    board_put(&row->backend_ns, loop_now_ns() - row->backend_ns);
    PROBE(request_ready, row);
}

/* It has not: another one is needed.  Within the same batch. */
static inline void command_record_not_ready(const struct command *command)
{
    struct board_command_row *row = command->row;

    board_command_move(row, BOARD_BACKEND);
    board_put(&row->backend_ns, loop_now_ns() - row->backend_ns);
}

/* It has failed, and the client has been told. */
RARELY static void command_record_error(const struct command_record *record,
                                        const struct command *command)
{
    unsigned error = board_error_index(nbd_error_from_errno(command->error));

    board_add(&record->row->errors, 1);
    board_add(&record->counted->errors[command->op][error], 1);
}

/* It is given back: its answer was sent, or nobody is there to hear one. */
static inline void command_record_end(const struct command_record *record,
                                      const struct command *command)
{
    struct board_command_row *row = command->row;
    struct board_connection_row *connection = record->row;
    struct board_figures *figures = record->counted;
    uint64_t length_bytes = command->request.length_bytes;
    uint32_t op = command->op;
    struct board_histogram *request = &figures->durations[op];

    PROBE(request_end, row, command->error);
    BOARD_IS_THERE(request);
    board_add(&connection->requests, 1);
    board_record(request, loop_now_ns() - row->start_ns);
    board_command_end(row);
    if (command->error != 0) {
        command_record_error(record, command);
        return;
    }
    board_record(request + BOARD_OPS, row->backend_ns);
    board_add(&connection->bytes[op], length_bytes);
    board_add(&figures->bytes[op], length_bytes);
}

#endif
