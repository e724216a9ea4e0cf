#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "server/metrics/status-json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "server/base/tally.h"
#include "server/control/control-json.h"
#include "server/control/varlink-message.h"
#include "server/export/limit-groups.h"
#include "server/metrics/metrics-server.h"
#include "server/metrics/metrics-snapshot.h"
#include "server/metrics/status-warnings.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

/* ---- figures ---- */

/* [us, count, us, count, ...]: so many took at most so long, and longer than those before. */
static struct json_object *durations_of(const struct board_figures *figures)
{
    struct json_object *list = json_object_new_array();
    struct board_histogram all = { 0 };

    for (size_t op = 0; op < BOARD_OPS; op++)
        board_histogram_add(&all, &figures->request[op]);
    for (unsigned i = 0; i < BOARD_BUCKETS; i++) {
        if (all.counts[i] == 0)
            continue;
        control_append(list, json_object_new_uint64(board_bucket_us(i)));
        control_append(list, json_object_new_uint64(all.counts[i]));
    }
    return list;
}

static void add_figures(struct json_object *to, const struct board_figures *figures)
{
    uint64_t requests = 0, errors = 0;

    for (size_t op = 0; op < BOARD_OPS; op++) {
        requests += board_histogram_count(&figures->request[op]);
        for (size_t i = 0; i < BOARD_ERRORS; i++)
            errors += figures->errors[op][i];
    }
    control_add_number(to, "requests", requests);
    control_add_number(to, "errors", errors);
    control_add_number(to, "read_bytes", figures->read_bytes);
    control_add_number(to, "written_bytes", figures->written_bytes);
    control_add(to, "durations", durations_of(figures));
}

/* ---- exports ---- */

struct status_export {
    uint64_t id;
    struct json_object *json; /* belongs to the list; NULL: there are too many */
    char *name;
    unsigned connections, in_flight;
    uint64_t oldest_ns;
};

struct status {
    const struct metrics_source *source;
    struct json_object *list;
    struct status_export *exports; /* by ascending ids */
    size_t count, room;
    struct status_troubles troubles;
};

/* "gold (weight 300)" */
static void add_group(struct json_object *limits, const struct limit_set *group, unsigned weight)
{
    char text[LIMIT_GROUP_NAME_BYTES_MAX + 32];

    (void)snprintf(text, sizeof text, "%s (weight %u)", limit_group_name(group), weight);
    control_add_text(limits, "group", text);
}

/* {"iops": "5000", "bandwidth": "209715200", "group": ...} */
static struct json_object *limits_of(const struct export *export)
{
    struct json_object *limits = json_object_new_object();
    char value[LIMIT_TEXT_BYTES];
    unsigned at = 0;
    const char *key;

    while (limit_terms_next(&export->rates.terms, &at, &key, value))
        control_add_text(limits, strncmp(key, "limit-", 6) == 0 ? key + 6 : key, value);
    const struct limit_set *group = atomic_load(&export->group);
    if (group != NULL)
        add_group(limits, group, export_weight(export));
    return limits;
}

static struct json_object *export_json(const struct export *export,
                                       const struct board_figures *figures)
{
    struct json_object *json = json_object_new_object();
    bool open = export_is_open(export), suspended = atomic_load(&export->suspended);

    control_add_text(json, "name", export->name);
    control_add_number(json, "id", export->id);
    control_add_text(json, "state", !open ? "missing" : suspended ? "suspended" : "serving");
    control_add(json, "limits", limits_of(export));
    if (open) {
        control_add_number(json, "size_bytes", limits_size_bytes(&export->limits));
        control_add_text(json, "backend", stage_backend(export->top)->ops->name);
        control_add_flag(json, "encrypted", !export->settings->raw);
    }
    if (figures != NULL)
        add_figures(json, figures);
    return json;
}

static bool make_room(struct status *status)
{
    size_t room = status->room > 0 ? 2 * status->room : 64;

    if (status->count < status->room)
        return true;
    void *larger = realloc(status->exports, room * sizeof status->exports[0]);
    if (larger == NULL)
        return false;
    status->exports = larger;
    status->room = room;
    return true;
}

static void take_export(void *context, const struct export *export,
                        const struct board_figures *figures)
{
    struct status *status = context;

    status_troubles_of_export(&status->troubles, export);
    if (!make_room(status))
        return;
    struct status_export *new = &status->exports[status->count++];
    *new = (struct status_export){ .id = export->id, .name = strdup(export->name) };
    if (status->count > STATUS_EXPORTS_MAX)
        return;
    new->json = export_json(export, figures);
    control_append(status->list, new->json);
}

/* NULL: it is none of them. */
static struct status_export *find(const struct status *status, uint64_t id)
{
    size_t low = 0, high = status->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (status->exports[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < status->count && status->exports[low].id == id ? &status->exports[low] : NULL;
}

static void count_commands(struct status *status)
{
    const struct board *board = status->source->board;
    uint64_t now_ns = board_now_ns();
    struct board_command command;
    board_cursor cursor = 0;

    while (board_next_command(board, &cursor, &command)) {
        struct status_export *of = find(status, command.export_id);

        if (of == NULL || command.torn)
            continue;
        uint64_t age_ns = now_ns > command.start_ns ? now_ns - command.start_ns : 0;
        of->in_flight++;
        of->oldest_ns = age_ns > of->oldest_ns ? age_ns : of->oldest_ns;
        if (command.phase == BOARD_BACKEND && command.backend_since_ns < now_ns)
            status_troubles_of_wait(&status->troubles, of->name != NULL ? of->name : "?",
                                    now_ns - command.backend_since_ns);
    }
}

static void count_connections(struct status *status)
{
    const struct board *board = status->source->board;
    board_cursor cursor = 0;
    struct board_export row;

    while (board_next_export(board, &cursor, &row)) {
        struct status_export *of = find(status, row.id);

        if (of != NULL)
            of->connections = row.connections;
    }
}

static void add_exports(struct json_object *to, struct status *status)
{
    (void)metrics_each_export(status->source, take_export, status);
    count_connections(status);
    count_commands(status);
    for (size_t i = 0; i < status->count; i++) {
        struct status_export *one = &status->exports[i];

        if (one->json == NULL)
            continue;
        control_add_number(one->json, "clients", one->connections);
        control_add_number(one->json, "in_flight", one->in_flight);
        control_add_number(one->json, "oldest_us", one->oldest_ns / 1000);
    }
    control_add_number(to, "exports_more",
                       status->count > STATUS_EXPORTS_MAX ? status->count - STATUS_EXPORTS_MAX : 0);
    control_add(to, "exports", status->list);
}

/* ---- clients ---- */

static struct json_object *client_json(const struct status *status,
                                       const struct board_connection *connection)
{
    const struct status_export *of = find(status, connection->export_id);
    struct json_object *json = json_object_new_object();

    control_add_number(json, "id", connection->id);
    control_add_text(json, "peer", connection->peer);
    control_add_text(json, "state", board_state_name(connection->state));
    if (of != NULL && of->name != NULL)
        control_add_text(json, "export", of->name);
    control_add_text(json, "tls", connection->tls);
    control_add_number(json, "seconds", (board_now_ns() - connection->since_ns) / 1000000000u);
    control_add_number(json, "requests", connection->requests);
    control_add_number(json, "errors", connection->errors);
    control_add_number(json, "read_bytes", connection->read_bytes);
    control_add_number(json, "written_bytes", connection->written_bytes);
    control_add_number(json, "in_flight", connection->in_flight);
    return json;
}

static void add_clients(struct json_object *to, const struct status *status)
{
    struct json_object *list = json_object_new_array();
    struct board_connection connection;
    board_cursor cursor = 0;
    uint64_t count = 0;

    while (board_next_connection(status->source->board, &cursor, &connection)) {
        if (connection.torn || connection.state == BOARD_NONE)
            continue;
        if (count++ < STATUS_CLIENTS_MAX)
            control_append(list, client_json(status, &connection));
    }
    control_add(to, "clients", list);
    control_add_number(to, "clients_more",
                       count > STATUS_CLIENTS_MAX ? count - STATUS_CLIENTS_MAX : 0);
}

/* ---- the server ---- */

static void add_total(struct json_object *to, const struct board *board)
{
    struct json_object *total = json_object_new_object();
    struct board_figures figures;

    if (board_sum_all(board, &figures))
        add_figures(total, &figures);
    control_add(to, "total", total);
}

static void add_workers(struct json_object *to, const struct board *board)
{
    struct json_object *list = json_object_new_array();

    for (unsigned i = 0; i < board_workers(board); i++) {
        struct json_object *json = json_object_new_object();
        struct board_worker worker;

        board_read_worker(board, i, &worker);
        control_add_number(json, "busy_us", metrics_worker_busy_ns(&worker) / 1000);
        control_add_number(json, "stall_us", board_worker_stall_ns(&worker, board_now_ns()) / 1000);
        control_add_number(json, "connections", worker.connections);
        control_add_number(json, "parked", worker.parked);
        control_add_number(json, "buffers_bytes", worker.buffers_bytes);
        control_append(list, json);
    }
    control_add(to, "workers", list);
}

static void add_server(struct json_object *to, const struct metrics_source *source)
{
    uint64_t since_ns = board_since_ns(source->board);

    control_add_text(to, "version", PACKAGE_VERSION);
    control_add_number(to, "pid", (uint64_t)getpid());
    control_add_number(to, "time_us", board_now_ns() / 1000);
    control_add_number(to, "up_seconds", (board_now_ns() - since_ns) / 1000000000u);
    control_add_text(to, "tls", tls_mode_name(source->tls->mode));
    control_add_number(to, "clients_attached", atomic_load(&source->places->attached));
    control_add_number(to, "clients_max", source->places->attached_max);
    control_add_number(to, "handshakes", atomic_load(&source->places->handshakes));
}

char *status_json(const struct metrics_source *source, size_t *length_bytes)
{
    struct json_object *json = json_object_new_object();
    struct status status = { .source = source, .list = json_object_new_array() };
    const char *text;

    add_server(json, source);
    add_total(json, source->board);
    add_workers(json, source->board);
    add_exports(json, &status);
    add_clients(json, &status);
    control_add(json, "warnings", status_warnings(source, &status.troubles));
    for (size_t i = 0; i < status.count; i++)
        free(status.exports[i].name);
    free(status.exports);
    text = json_object_to_json_string_length(
        json, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, length_bytes);
    char *copy = text != NULL ? strdup(text) : NULL;
    json_object_put(json);
    return copy;
}

bool status_is_healthy(const struct board *board)
{
    bool healthy = true;

    for (unsigned i = 0; i < board_workers(board); i++) {
        struct board_worker worker;

        board_read_worker(board, i, &worker);
        healthy &= board_worker_stall_ns(&worker, board_now_ns()) <
                   STATUS_STALL_SECONDS * UINT64_C(1000000000);
    }
    return healthy;
}
