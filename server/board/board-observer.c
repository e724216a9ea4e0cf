/* Rows as observers see them. */
#include "server/board/board-layout.h"
#include "server/nbd/nbd-wire.h"

static const char *name_of(const char *const *names, size_t count, unsigned number)
{
    return number < count ? names[number] : "unknown";
}

#define NAME_OF(names, number) name_of(names, sizeof names / sizeof names[0], (unsigned)(number))

const char *board_state_name(enum board_state state)
{
    static const char *const names[] = { "none",         "handshake", "goodbye",
                                         "transmission", "draining",  "closing" };

    return NAME_OF(names, state);
}

const char *board_op_name(enum board_op op)
{
    static const char *const names[] = {
        "read", "write", "flush", "trim", "zero", "cache", "status"
    };

    return NAME_OF(names, op);
}

const char *board_phase_name(enum board_phase phase)
{
    static const char *const names[] = { "receive", "throttled", "backend", "ready" };

    return NAME_OF(names, phase);
}

/* ---- errors ---- */

static const struct {
    uint32_t nbd;
    const char *name;
} errors[BOARD_ERRORS - 1] = {
    { NBD_EPERM, "EPERM" },     { NBD_EIO, "EIO" },
    { NBD_ENOMEM, "ENOMEM" },   { NBD_EINVAL, "EINVAL" },
    { NBD_ENOSPC, "ENOSPC" },   { NBD_EOVERFLOW, "EOVERFLOW" },
    { NBD_ENOTSUP, "ENOTSUP" }, { NBD_ESHUTDOWN, "ESHUTDOWN" },
};

unsigned board_error_index(uint32_t nbd)
{
    unsigned index = 0;

    while (index < BOARD_ERRORS - 1 && errors[index].nbd != nbd)
        index++;
    return index;
}

const char *board_error_name(unsigned index)
{
    return index < BOARD_ERRORS - 1 ? errors[index].name : "other";
}

/* ---- workers ---- */

void board_read_worker(const struct board *board, unsigned index, struct board_worker *out)
{
    const struct board_worker_row *row =
        (const struct board_worker_row *)board_at(board, board->head->workers_at) + index;

    *out = (struct board_worker){
        .index = index,
        .tid = (pid_t)board_get(&row->tid),
        .turns = board_get(&row->turns.count),
        .turn_start_ns = board_get(&row->turns.start_ns),
        .asleep = board_get(&row->turns.asleep) != 0,
        .answered_ns = board_get(&row->answered_ns),
        .connections = board_get(&row->connections),
        .parked = board_get(&row->parked),
        .commands = board_get(&row->commands),
        .buffers_bytes = board_get(&row->buffers_bytes),
    };
}

uint64_t board_worker_stall_ns(const struct board_worker *worker, uint64_t now_ns)
{
    return worker->tid == 0 || worker->asleep || worker->turn_start_ns > now_ns
               ? 0
               : now_ns - worker->turn_start_ns;
}

/* ---- connections ---- */

/* False: the row was written to meanwhile. */
static bool look_at_connection(const struct board_connection_row *row, struct board_connection *out)
{
    uint64_t sequence = board_get_first(&row->sequence);

    out->id = board_get_first(&row->id);
    out->worker = board_get_first(&row->worker);
    out->state = (enum board_state)board_get_first(&row->state);
    out->export_id = board_get_first(&row->export_id);
    out->since_ns = board_get_first(&row->since_ns);
    out->attached_ns = board_get_first(&row->attached_ns);
    board_words_get(out->peer, row->peer, sizeof out->peer);
    board_words_get(out->tls, row->tls, sizeof out->tls);
    out->requests = board_get_first(&row->requests);
    out->errors = board_get_first(&row->errors);
    out->read_bytes = board_get_first(&row->bytes[BOARD_READ]);
    out->written_bytes = board_get_first(&row->bytes[BOARD_WRITE]);
    out->in_flight = board_get_first(&row->in_flight);
    out->waits_for_memory = board_get_first(&row->waits) != 0;
    out->throttled_since_ns = board_get_first(&row->held_since_ns);
    return (sequence & 1) == 0 && board_get(&row->sequence) == sequence;
}

/* False: nobody is there. */
static bool read_connection(const struct board_connection_row *row, struct board_connection *out)
{
    out->torn = true;
    for (unsigned i = 0; i < BOARD_TRIES && out->torn; i++)
        out->torn = !look_at_connection(row, out);
    out->peer[sizeof out->peer - 1] = '\0';
    out->tls[sizeof out->tls - 1] = '\0';
    return out->id != 0;
}

bool board_next_connection(const struct board *board, board_cursor *cursor,
                           struct board_connection *out)
{
    board_place place;

    while ((place = board_row_next(board, BOARD_CONNECTION_ROWS, cursor)) != 0) {
        const struct board_connection_row *row = board_at(board, place);

        if (board_get(&row->id) != 0 && read_connection(row, out))
            return true;
    }
    return false;
}

bool board_read_connection(const struct board *board, uint64_t id, struct board_connection *out)
{
    board_cursor cursor = 0;
    board_place place;

    while ((place = board_row_next(board, BOARD_CONNECTION_ROWS, &cursor)) != 0) {
        const struct board_connection_row *row = board_at(board, place);

        if (id != 0 && board_get(&row->id) == id && read_connection(row, out) && out->id == id)
            return true;
    }
    return false;
}

/* ---- commands ---- */

#define HELD_ONES ((board_cursor)1 << 63) /* the walk is among those that have no row */

static uint64_t throttled_ns(const struct board_command_row *row, uint64_t start_ns)
{
    uint64_t until_ns = board_get_first(&row->throttled_until_ns);

    return until_ns > start_ns ? until_ns - start_ns : 0;
}

static void look_at_its_export(const struct board *board,
                               const struct board_connection_row *connection,
                               struct board_command *out)
{
    board_place place = board_get_first(&connection->export);
    const struct board_export_row *export =
        place != BOARD_NOWHERE ? board_look_at(board, place, sizeof *export) : NULL;

    out->export_place = place;
    out->slow_ns = export != NULL ? board_get(&export->slow_ns) : 0;
}

/* The connection stays as long as its command does. */
static bool look_at_command(const struct board *board, const struct board_command_row *row,
                            struct board_command *out)
{
    uint64_t sequence = board_get_first(&row->sequence);

    out->start_ns = board_get_first(&row->start_ns);
    if (out->start_ns == 0)
        return true;
    const struct board_connection_row *connection =
        board_look_at(board, board_get_first(&row->connection), sizeof *connection);
    out->op = (enum board_op)board_get_first(&row->op);
    out->phase = (enum board_phase)board_get_first(&row->phase);
    out->offset_bytes = board_get_first(&row->offset_bytes);
    out->length_bytes = board_get_first(&row->length_bytes);
    out->connection = board_get_first(&connection->id);
    out->export_id = board_get_first(&connection->export_id);
    out->worker = board_get_first(&connection->worker);
    out->throttled_ns = throttled_ns(row, out->start_ns);
    out->backend_since_ns = out->backend_ns = 0;
    if (out->phase == BOARD_BACKEND)
        out->backend_since_ns = board_get_first(&row->backend_ns);
    else if (out->phase == BOARD_READY)
        out->backend_ns = board_get_first(&row->backend_ns);
    look_at_its_export(board, connection, out);
    return board_get_first(&row->start_ns) == out->start_ns &&
           board_get(&row->sequence) == sequence;
}

static bool look_at_held(const struct board *board, const struct board_connection_row *row,
                         struct board_command *out)
{
    uint64_t sequence = board_get_first(&row->sequence);

    *out = (struct board_command){
        .connection = board_get_first(&row->id),
        .export_id = board_get_first(&row->export_id),
        .worker = board_get_first(&row->worker),
        .op = (enum board_op)board_get_first(&row->held_op),
        .phase = BOARD_THROTTLED,
        .offset_bytes = board_get_first(&row->held_offset_bytes),
        .length_bytes = board_get_first(&row->held_length_bytes),
        .start_ns = board_get_first(&row->held_since_ns),
    };
    look_at_its_export(board, row, out);
    return (sequence & 1) == 0 && board_get(&row->sequence) == sequence;
}

static bool next_held(const struct board *board, board_cursor *cursor, struct board_command *out)
{
    board_cursor at = *cursor & ~HELD_ONES;
    board_place place;
    bool found = false;

    while (!found && (place = board_row_next(board, BOARD_CONNECTION_ROWS, &at)) != 0) {
        const struct board_connection_row *row = board_at(board, place);
        bool torn = true;

        if (board_get(&row->held_since_ns) == 0)
            continue;
        for (unsigned i = 0; i < BOARD_TRIES && torn; i++)
            torn = !look_at_held(board, row, out);
        out->torn = torn;
        found = out->start_ns != 0 && out->connection != 0;
    }
    *cursor = at | HELD_ONES;
    return found;
}

static bool next_in_rows(const struct board *board, board_cursor *cursor, struct board_command *out)
{
    board_place place;

    while ((place = board_row_next(board, BOARD_COMMAND_ROWS, cursor)) != 0) {
        const struct board_command_row *row = board_at(board, place);

        if (board_get(&row->start_ns) == 0)
            continue;
        out->torn = true;
        for (unsigned i = 0; i < BOARD_TRIES && out->torn; i++)
            out->torn = !look_at_command(board, row, out);
        if (out->start_ns != 0)
            return true;
    }
    return false;
}

bool board_next_command(const struct board *board, board_cursor *cursor, struct board_command *out)
{
    if ((*cursor & HELD_ONES) == 0) {
        if (next_in_rows(board, cursor, out))
            return true;
        *cursor = HELD_ONES;
    }
    return next_held(board, cursor, out);
}

/* ---- exports ---- */

static bool look_at_export(const struct board_export_row *row, struct board_export *out)
{
    uint64_t sequence = board_get_first(&row->sequence);

    out->id = board_get_first(&row->id);
    board_words_get(out->name, row->name, sizeof out->name);
    out->connections = board_get_first(&row->connections);
    out->replaced = board_get_first(&row->after) != 0;
    for (unsigned i = 0; i < BOARD_LIMITS; i++)
        out->limits[i] = board_get_first(&row->limits[i]);
    return (sequence & 1) == 0 && board_get(&row->sequence) == sequence;
}

/* False: nothing is there, or it just comes or goes. */
static bool read_export(const struct board *board, board_place place, struct board_export *out)
{
    const struct board_export_row *row = board_at(board, place);
    bool whole = false;

    for (unsigned i = 0; i < BOARD_TRIES && !whole && board_get(&row->id) != 0; i++)
        whole = look_at_export(row, out);
    out->place = place;
    return whole && out->id != 0;
}

bool board_next_export(const struct board *board, board_cursor *cursor, struct board_export *out)
{
    board_place place;

    while ((place = board_row_next(board, BOARD_EXPORT_ROWS, cursor)) != 0)
        if (read_export(board, place, out))
            return true;
    return false;
}

unsigned board_export_connections(const struct board *board, board_place place)
{
    const struct board_export_row *row = board_at(board, place);

    return place != BOARD_NOWHERE ? (unsigned)board_get(&row->connections) : 0;
}

bool board_read_export(const struct board *board, uint64_t id, struct board_export *out)
{
    board_cursor cursor = 0;
    board_place place;

    while ((place = board_row_next(board, BOARD_EXPORT_ROWS, &cursor)) != 0) {
        const struct board_export_row *row = board_at(board, place);

        if (id != 0 && board_get(&row->id) == id && read_export(board, place, out) && out->id == id)
            return true;
    }
    return false;
}
