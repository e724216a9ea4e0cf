#include "server/report/report-board.h"

#include <string.h>

#include "server/base/log.h"

/* ---- parts ---- */

static uint64_t age_ns(const struct report_look *look, uint64_t since_ns)
{
    return since_ns < look->now_ns ? look->now_ns - since_ns : 0;
}

static void add_export(struct report_tree *tree, struct report_node *of,
                       const struct report_look *look, uint64_t id)
{
    struct board_export export;

    if (id != 0 && board_read_export(look->board, id, &export))
        report_text(tree, of, "export", export.name);
}

/* ---- workers ---- */

static void collect_workers(struct report_tree *tree, struct report_node *of,
                            const struct report_look *look)
{
    struct report_node *list = report_list(tree, of, "workers");

    for (unsigned i = 0; look->board != NULL && i < board_workers(look->board); i++) {
        struct report_node *one;
        struct board_worker worker;

        board_read_worker(look->board, i, &worker);
        if (worker.tid == 0)
            continue;
        one = report_object(tree, list, NULL);
        report_number(tree, one, "worker", i);
        report_number(tree, one, "tid", (uint64_t)worker.tid);
        report_number(tree, one, "turns", worker.turns);
        report_flag(tree, one, "asleep", worker.asleep);
        report_number(tree, one, "turn_ms", board_worker_stall_ns(&worker, look->now_ns) / 1000000);
        report_number(tree, one, "clients", worker.connections);
        report_number(tree, one, "clients_waiting_for_memory", worker.parked);
        report_number(tree, one, "requests", worker.commands);
        report_number(tree, one, "buffers_bytes", worker.buffers_bytes);
    }
}

const struct report_section report_workers_section = { "workers", REPORT_SAFE | REPORT_BOARD,
                                                       collect_workers };

/* ---- requests ---- */

/* The oldest of them, in order; how many there were in all is *all. */
static size_t find_oldest(const struct board *board, struct board_command *oldest, uint64_t *all)
{
    struct board_command one;
    board_cursor cursor = 0;
    size_t count = 0;

    *all = 0;
    while (board_next_command(board, &cursor, &one)) {
        size_t place = count;

        ++*all;
        if (count == REPORT_REQUESTS_MAX && one.start_ns >= oldest[count - 1].start_ns)
            continue;
        if (count < REPORT_REQUESTS_MAX)
            count++;
        else
            place--;
        for (; place > 0 && oldest[place - 1].start_ns > one.start_ns; place--)
            oldest[place] = oldest[place - 1];
        oldest[place] = one;
    }
    return count;
}

static void collect_requests(struct report_tree *tree, struct report_node *of,
                             const struct report_look *look)
{
    struct board_command oldest[REPORT_REQUESTS_MAX];
    uint64_t all = 0;

    if (look->board == NULL)
        return;
    size_t count = find_oldest(look->board, oldest, &all);
    report_number(tree, of, "in_flight", all);
    struct report_node *list = report_list(tree, of, "oldest");
    for (size_t i = 0; i < count; i++) {
        const struct board_command *command = &oldest[i];
        struct report_node *one = report_object(tree, list, NULL);

        add_export(tree, one, look, command->export_id);
        report_number(tree, one, "client", command->connection);
        report_text(tree, one, "operation", board_op_name(command->op));
        report_number(tree, one, "offset_bytes", command->offset_bytes);
        report_number(tree, one, "length_bytes", command->length_bytes);
        report_text(tree, one, "phase", board_phase_name(command->phase));
        report_number(tree, one, "age_us", age_ns(look, command->start_ns) / 1000);
        report_number(tree, one, "worker", command->worker);
        if (command->torn)
            report_flag(tree, one, "torn", true);
    }
}

const struct report_section report_requests_section = { "requests", REPORT_SAFE | REPORT_BOARD,
                                                        collect_requests };

/* ---- clients ---- */

static void add_client(struct report_tree *tree, struct report_node *list,
                       const struct report_look *look, const struct board_connection *client)
{
    struct report_node *one = report_object(tree, list, NULL);

    report_number(tree, one, "id", client->id);
    report_text(tree, one, "peer", client->peer);
    if (client->tls[0] != '\0')
        report_text(tree, one, "tls", client->tls);
    report_text(tree, one, "state", board_state_name(client->state));
    add_export(tree, one, look, client->export_id);
    report_number(tree, one, "worker", client->worker);
    report_number(tree, one, "age_ms", age_ns(look, client->since_ns) / 1000000);
    report_number(tree, one, "in_flight", client->in_flight);
    report_number(tree, one, "requests", client->requests);
    report_number(tree, one, "errors", client->errors);
    report_number(tree, one, "read_bytes", client->read_bytes);
    report_number(tree, one, "written_bytes", client->written_bytes);
    if (client->waits_for_memory)
        report_flag(tree, one, "waits_for_memory", true);
    if (client->torn)
        report_flag(tree, one, "torn", true);
}

static void collect_clients(struct report_tree *tree, struct report_node *of,
                            const struct report_look *look)
{
    struct report_node *list = report_list(tree, of, "clients");
    struct board_connection client;
    board_cursor cursor = 0;
    uint64_t count = 0;

    while (look->board != NULL && board_next_connection(look->board, &cursor, &client))
        if (count++ < REPORT_CLIENTS_MAX)
            add_client(tree, list, look, &client);
    report_number(tree, of, "count", count);
}

const struct report_section report_clients_section = { "clients", REPORT_SAFE | REPORT_BOARD,
                                                       collect_clients };

/* ---- figures ---- */

static void add_figures(struct report_tree *tree, struct report_node *one,
                        const struct board_figures *figures)
{
    struct board_histogram all = { 0 };
    uint64_t errors = 0;

    for (size_t op = 0; op < BOARD_OPS; op++) {
        board_histogram_add(&all, &figures->request[op]);
        for (size_t i = 0; i < BOARD_ERRORS; i++)
            errors += figures->errors[op][i];
    }
    report_number(tree, one, "attached", figures->attached);
    report_number(tree, one, "requests", board_histogram_count(&all));
    report_number(tree, one, "errors", errors);
    report_number(tree, one, "read_bytes", figures->read_bytes);
    report_number(tree, one, "written_bytes", figures->written_bytes);
    report_number(tree, one, "half_within_us", board_histogram_quantile_us(&all, 0.5));
    report_number(tree, one, "of_100_99_within_us", board_histogram_quantile_us(&all, 0.99));
}

static void collect_figures(struct report_tree *tree, struct report_node *of,
                            const struct report_look *look)
{
    struct report_node *list = report_list(tree, of, "exports");
    static struct board_figures figures; /* 20 KiB; one thread makes a report */
    struct board_export export;
    board_cursor cursor = 0;
    uint64_t count = 0;

    while (look->board != NULL && board_next_export(look->board, &cursor, &export)) {
        struct report_node *one;

        if (count++ >= REPORT_EXPORTS_MAX)
            continue;
        one = report_object(tree, list, NULL);
        report_text(tree, one, "name", export.name);
        report_number(tree, one, "id", export.id);
        report_number(tree, one, "clients", export.connections);
        memset(&figures, 0, sizeof figures);
        if (board_sum_export(look->board, export.place, &figures))
            add_figures(tree, one, &figures);
    }
    report_number(tree, of, "count", count);
    if (look->board != NULL)
        report_number(tree, of, "rows_lost", board_lost(look->board));
}

const struct report_section report_figures_section = { "figures", REPORT_SAFE | REPORT_BOARD,
                                                       collect_figures };

/* ---- messages ---- */

static const char *level_name(int level)
{
    static const char *const names[] = { [LOG_ERROR] = "error",
                                         [LOG_WARNING] = "warning",
                                         [LOG_NOTICE] = "notice",
                                         [LOG_INFO] = "info",
                                         [LOG_DEBUG] = "debug" };

    return level >= LOG_ERROR && level <= LOG_DEBUG ? names[level] : "unknown";
}

static void collect_messages(struct report_tree *tree, struct report_node *of,
                             const struct report_look *look)
{
    static struct board_line lines[REPORT_LINES_MAX];
    size_t count =
        look->board != NULL ? board_read_lines(look->board, 0, lines, REPORT_LINES_MAX) : 0;
    struct report_node *list = report_list(tree, of, "last");

    for (size_t i = 0; i < count; i++) {
        struct report_node *one = report_object(tree, list, NULL);
        char time[REPORT_TIME_BYTES];

        report_time(time, lines[i].time_ns / 1000000000u, false);
        report_text(tree, one, "time", time);
        report_text(tree, one, "level", level_name(lines[i].level));
        report_text_masked(tree, one, "text", lines[i].text);
    }
}

const struct report_section report_messages_section = { "messages", REPORT_SAFE | REPORT_BOARD,
                                                        collect_messages };
