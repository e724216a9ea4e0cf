#include "server/connection/worker.h"

#include <unistd.h>

#include "server/board/board-owner.h"
#include "server/connection/nbd-command.h"

#define LOOP_ENTRIES 512u
#define FILE_SLOTS 4096u                         /* more connections use plain descriptors */
#define BUFFER_LIMIT_BYTES (64u * 1024u * 1024u) /* mapped as it is needed */
#define MEMORY_SLOTS (BUFFER_LIMIT_BYTES / BUFFER_PIECE_BYTES)
#define COMMANDS_MAX 16384u

void worker_init(struct worker *worker, const struct worker_settings *settings)
{
    *worker = (struct worker){
        .index = settings->index,
        .worker_count = settings->worker_count,
        .exports = settings->exports,
        .tls = settings->tls,
        .places = settings->places,
        .handshake_timeout_ms = settings->handshake_timeout_ms,
        .drain_max_ms = settings->drain_max_ms,
        .buffers_max_bytes = settings->buffers_max_bytes,
        .no_multi_conn = settings->no_multi_conn,
        .no_extended_headers = settings->no_extended_headers,
        .busy_wait_us = settings->busy_wait_us,
    };
    worker_join_board(worker, settings->board);
}

/* Once a batch. */
static void tell(struct loop_task *task)
{
    struct worker *worker = container_of(task, struct worker, tell);
    struct board_worker_row *row = worker->row;

    board_put(&row->buffers_bytes, buffer_pool_used_bytes(worker->buffers));
    board_put(&row->commands, request_pool_commands(worker->requests));
    board_put(&row->parked, worker->lacking);
    board_put(&row->connections,
              atomic_load_explicit(&worker->connection_count, memory_order_relaxed));
    if (worker->attached > 1)
        worker->crowded->fn(worker->crowded, 0);
}

/* It is being torn down, while its loop goes on. */
static void tell_nothing(struct loop_task *task)
{
    (void)task;
}

void worker_join_board(struct worker *worker, const struct board *board)
{
    worker->board = board;
    worker->row = board_worker_row(board, worker->index);
    worker->tell.fn = tell;
}

int worker_set_up(struct worker *worker, struct error *err)
{
    struct loop_config config = {
        .entries = LOOP_ENTRIES,
        .others = worker->worker_count - 1,
        .file_slots = FILE_SLOTS,
        .memory_slots = MEMORY_SLOTS,
        .busy_wait_us = worker->busy_wait_us,
        .turns = &worker->row->turns,
        .after = &worker->tell,
    };

    int result = loop_create(&worker->loop, &config, err);
    if (result == 0)
        result = buffer_pool_create(&worker->buffers, worker->loop, BUFFER_LIMIT_BYTES,
                                    worker->buffers_max_bytes, err);
    if (result == 0)
        result = request_pool_create(&worker->requests, COMMANDS_MAX, worker->board, err);
    if (result == 0)
        board_put(&worker->row->tid, (uint32_t)gettid());
    return result;
}

void worker_set_terms(struct worker *worker, const struct worker_terms *terms)
{
    worker->tls_mode = terms->tls_mode;
    worker->has_tls_mode = true;
    worker->handshake_timeout_ms = terms->handshake_timeout_ms;
    worker->drain_max_ms = terms->drain_max_ms;
    worker->no_multi_conn = terms->no_multi_conn;
    worker->no_extended_headers = terms->no_extended_headers;
    if (worker->buffers_max_bytes != terms->buffers_max_bytes)
        buffer_pool_set_max(worker->buffers, BUFFER_LIMIT_BYTES, terms->buffers_max_bytes);
    worker->buffers_max_bytes = terms->buffers_max_bytes;
    if (worker->terms_changed != NULL)
        worker->terms_changed->fn(worker->terms_changed, (int)terms->stall_timeout_ms);
}

void worker_tear_down(struct worker *worker)
{
    board_put(&worker->row->tid, 0);
    worker->tell.fn = tell_nothing;
    while (worker->parts != NULL)
        export_part_detach(worker->parts);
    tls_buffers_free(&worker->tls_buffers);
    request_pool_destroy(worker->requests);
    buffer_pool_destroy(worker->buffers);
}

void worker_end_if_empty(struct worker *worker)
{
    if (worker->shutting_down && atomic_load(&worker->connection_count) == 0 &&
        atomic_load(&worker->surplus_count) == 0)
        worker->empty->fn(worker->empty, 0);
}

void worker_connection_ended(struct worker *worker, bool surplus)
{
    atomic_fetch_sub(surplus ? &worker->surplus_count : &worker->connection_count, 1);
    if (worker->leaving != NULL)
        worker->connection_ended->fn(worker->connection_ended, 0);
    worker_end_if_empty(worker);
}

void worker_connection_abandoned(struct worker *worker, bool surplus)
{
    worker->abandoned = true;
    worker_connection_ended(worker, surplus);
}
