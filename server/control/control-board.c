#include "server/control/control-board.h"

#include <stdlib.h>
#include <string.h>

#include "server/control/control-slow.h"

/* ---- parts of replies ---- */

static void add_board_time(struct json_object *to, const char *key, const struct board *board,
                           uint64_t time_ns)
{
    uint64_t real_ns = board_realtime_ns(board, time_ns);
    struct timespec time = { .tv_sec = (time_t)(real_ns / 1000000000),
                             .tv_nsec = (long)(real_ns % 1000000000) };

    if (time_ns != 0)
        control_add_time(to, key, &time);
}

/* Left out where it is not served any more. */
static void add_export(struct json_object *to, const struct control_host *host, uint64_t id)
{
    const struct export_set *set = host->lock(host->context);
    size_t place = id > 0 ? export_set_behind(set, id - 1) : set->count;

    if (place < set->count && set->exports[place]->id == id)
        control_add_text(to, "export", set->exports[place]->name);
    host->unlock(host->context);
}

static struct json_object *view_client(const struct control_host *host,
                                       const struct board_connection *connection)
{
    struct json_object *json = json_object_new_object();

    control_add_number(json, "id", connection->id);
    control_add_text(json, "peer", connection->peer);
    if (connection->tls[0] != '\0')
        control_add_text(json, "tls", connection->tls);
    control_add_text(json, "state", board_state_name(connection->state));
    add_export(json, host, connection->export_id);
    control_add_number(json, "thread", connection->worker);
    add_board_time(json, "since", host->board, connection->since_ns);
    add_board_time(json, "attached", host->board, connection->attached_ns);
    control_add_number(json, "requests", connection->requests);
    control_add_number(json, "errors", connection->errors);
    control_add_number(json, "read_bytes", connection->read_bytes);
    control_add_number(json, "written_bytes", connection->written_bytes);
    control_add_number(json, "in_flight", connection->in_flight);
    control_add_flag(json, "waits_for_memory", connection->waits_for_memory);
    control_add_flag(json, "throttled", connection->throttled_since_ns != 0);
    return json;
}

static uint64_t throttled_us(const struct board_command *command, uint64_t now_ns)
{
    if (command->phase != BOARD_THROTTLED)
        return command->throttled_ns / 1000;
    return now_ns > command->start_ns ? (now_ns - command->start_ns) / 1000 : 0;
}

static struct json_object *view_request(const struct control_host *host,
                                        const struct board_command *command)
{
    struct json_object *json = json_object_new_object();
    uint64_t now_ns = board_now_ns();

    control_add_number(json, "client", command->connection);
    add_export(json, host, command->export_id);
    control_add_text(json, "operation", board_op_name(command->op));
    control_add_text(json, "phase", board_phase_name(command->phase));
    control_add_number(json, "offset_bytes", command->offset_bytes);
    control_add_number(json, "length_bytes", command->length_bytes);
    control_add_number(json, "age_us",
                       now_ns > command->start_ns ? (now_ns - command->start_ns) / 1000 : 0);
    control_add_number(json, "throttled_us", throttled_us(command, now_ns));
    control_add_number(json, "thread", command->worker);
    return json;
}

/* ---- walks ---- */

static bool next_client(struct control_client *client, struct json_object **out)
{
    const struct control_host *host = &client->control->host;
    struct board_connection connection;

    if (!board_next_connection(host->board, &client->cursor, &connection))
        return false;
    if (!connection.torn && connection.state != BOARD_NONE)
        *out = control_with("client", view_client(host, &connection));
    return true;
}

static void list_clients(struct control_client *client)
{
    int64_t id = control_number(client->varlink.call.parameters, "id", -1);
    const struct control_host *host = &client->control->host;
    struct board_connection connection;
    char text[24];

    if (id < 0 && !client->varlink.call.more) {
        varlink_error(&client->varlink, VARLINK_EXPECTED_MORE, NULL);
    } else if (id < 0) {
        control_stream(client);
    } else if (board_read_connection(host->board, (uint64_t)id, &connection)) {
        varlink_reply(&client->varlink, control_with("client", view_client(host, &connection)),
                      false);
    } else {
        snprintf(text, sizeof text, "%llu", (unsigned long long)id);
        control_error(client, CONTROL_NO_SUCH_CLIENT, "id", text);
    }
}

static bool next_request(struct control_client *client, struct json_object **out)
{
    const struct control_host *host = &client->control->host;
    struct board_command command;

    if (!board_next_command(host->board, &client->cursor, &command))
        return false;
    if (!command.torn)
        *out = control_with("request", view_request(host, &command));
    return true;
}

static void list_requests(struct control_client *client)
{
    if (client->varlink.call.more)
        control_stream(client);
    else
        varlink_error(&client->varlink, VARLINK_EXPECTED_MORE, NULL);
}

/* ---- figures ---- */

static struct json_object *durations(const struct board_histogram *histogram)
{
    struct json_object *list = json_object_new_array();

    for (unsigned i = 0; i < BOARD_BUCKETS; i++) {
        struct json_object *one;

        if (histogram->counts[i] == 0)
            continue;
        one = json_object_new_object();
        control_add_number(one, "us", board_bucket_us(i));
        control_add_number(one, "count", histogram->counts[i]);
        control_append(list, one);
    }
    return list;
}

static struct json_object *view_figures(const struct export *ex,
                                        const struct board_figures *figures)
{
    struct json_object *json = json_object_new_object();
    struct board_histogram all = { 0 };
    uint64_t errors = 0;

    for (size_t op = 0; op < BOARD_OPS; op++) {
        board_histogram_add(&all, &figures->request[op]);
        for (size_t i = 0; i < BOARD_ERRORS; i++)
            errors += figures->errors[op][i];
    }
    control_add_text(json, "name", ex->name);
    control_add_number(json, "id", ex->id);
    control_add_number(json, "attached", figures->attached);
    control_add_number(json, "requests", board_histogram_count(&all));
    control_add_number(json, "errors", errors);
    control_add_number(json, "read_bytes", figures->read_bytes);
    control_add_number(json, "written_bytes", figures->written_bytes);
    control_add_number(json, "throttled_us", figures->throttled_ns / 1000);
    control_add(json, "durations", durations(&all));
    return json;
}

struct json_object *control_board_figures(const struct control_host *host, const struct export *ex)
{
    struct board_figures figures = { 0 };

    return board_sum_export(host->board, ex->place, &figures) ? view_figures(ex, &figures) : NULL;
}

void control_board_add_flight(struct json_object *to, const struct control_host *host,
                              const struct export *ex)
{
    uint64_t now_ns = board_now_ns(), oldest_ns = 0, count = 0;
    struct board_command command;
    board_cursor cursor = 0;

    while (board_next_command(host->board, &cursor, &command)) {
        if (command.torn || command.export_id != ex->id)
            continue;
        count++;
        if (now_ns > command.start_ns && now_ns - command.start_ns > oldest_ns)
            oldest_ns = now_ns - command.start_ns;
    }
    control_add_number(to, "in_flight", count);
    if (count > 0)
        control_add_number(to, "oldest_us", oldest_ns / 1000);
}

static bool next_figures(struct control_client *client, struct json_object **out)
{
    const struct control_host *host = &client->control->host;
    const struct export_set *set = host->lock(host->context);
    size_t place = export_set_behind(set, client->id);
    bool more = place < set->count;

    if (more) {
        struct json_object *figures = control_board_figures(host, set->exports[place]);

        client->id = set->exports[place]->id;
        if (figures != NULL)
            *out = control_with("figures", figures);
    }
    host->unlock(host->context);
    return more;
}

static void list_figures(struct control_client *client)
{
    if (client->varlink.call.more)
        control_stream(client);
    else
        varlink_error(&client->varlink, VARLINK_EXPECTED_MORE, NULL);
}

const struct control_method control_board_methods[] = {
    { .name = "org.nbdcrypt.ListClients",
      .role = CONTROL_VIEW,
      .streams = true,
      .params = { { "id", json_type_int, false } },
      .run = list_clients,
      .next = next_client },
    { .name = "org.nbdcrypt.ListRequests",
      .role = CONTROL_VIEW,
      .streams = true,
      .run = list_requests,
      .next = next_request },
    { .name = "org.nbdcrypt.ListSlowRequests", .role = CONTROL_VIEW, .run = control_list_slow },
    { .name = "org.nbdcrypt.ListFigures",
      .role = CONTROL_VIEW,
      .streams = true,
      .run = list_figures,
      .next = next_figures },
    { 0 },
};
