#include "server/cli/ctl-looks.h"

#include <stdio.h>
#include <stdlib.h>

#include "server/cli/ctl-limits.h"
#include "server/cli/text-table.h"
#include "server/control/control-json.h"

static void cell_sandbox(char out[TEXT_CELL_BYTES], struct json_object *value)
{
    const char *text = control_text(value, "text");

    (void)snprintf(out, TEXT_CELL_BYTES, "%s", text != NULL ? text : "-");
}

static void cell_audit(char out[TEXT_CELL_BYTES], struct json_object *value)
{
    const char *path = control_text(value, "path");
    int64_t doubtful = control_number(value, "doubtful", 0);
    char doubt[48] = "";

    if (doubtful > 0)
        (void)snprintf(doubt, sizeof doubt, ", %lld not durable", (long long)doubtful);
    (void)snprintf(out, TEXT_CELL_BYTES, "%.200s, %lld records, %lld lost%s%s",
                   path != NULL ? path : "", (long long)control_number(value, "records", 0),
                   (long long)control_number(value, "lost", 0), doubt,
                   control_flag(value, "failing") ? ", can't be written" : "");
}

/* "vm7=debug". */
static void cell_levels(char out[TEXT_CELL_BYTES], struct json_object *value)
{
    struct json_object *words = json_object_new_array();

    json_object_object_foreach(value, name, level)
    {
        char word[TEXT_CELL_BYTES];

        (void)snprintf(word, sizeof word, "%.80s=%s", name, json_object_get_string(level));
        json_object_array_add(words, json_object_new_string(word));
    }
    text_cell_words(out, words);
    json_object_put(words);
}

static const struct text_column status_columns[] = {
    { .title = "version", .key = "version" },
    { .title = "pid", .key = "pid" },
    { .title = "state", .key = "state" },
    { .title = "since", .key = "since" },
    { .title = "revision", .key = "revision" },
    { .title = "addresses", .key = "addresses", .put = text_cell_words },
    { .title = "tls", .key = "tls" },
    { .title = "threads", .key = "threads" },
    { .title = "exports", .key = "exports" },
    { .title = "open", .key = "exports_open" },
    { .title = "groups", .key = "limit_groups" },
    { .title = "clients", .key = "clients" },
    { .title = "at most", .key = "clients_max" },
    { .title = "handshakes", .key = "handshakes" },
    { .title = "log", .key = "log_level" },
    { .title = "log levels", .key = "log_exports", .put = cell_levels },
    { .title = "sandbox", .key = "sandbox", .put = cell_sandbox },
    { .title = "audit", .key = "audit", .put = cell_audit },
    { .title = "your role", .key = "role" },
    { 0 },
};

static const struct text_column export_columns[] = {
    { .title = "NAME", .key = "name" },
    { .title = "STATE", .key = "state" },
    { .title = "SIZE", .key = "size_bytes", .right = true, .put = text_cell_size },
    { .title = "LUKS", .key = "encrypted" },
    { .title = "READ-ONLY", .key = "read_only" },
    { .title = "LIMITS", .key = "limits", .put = ctl_limits_cell },
    { .title = "CLIENTS", .key = "clients", .right = true },
    { .title = "IMAGE", .key = "image" },
    { 0 },
};

static const struct text_column client_columns[] = {
    { .title = "ID", .key = "id", .right = true },
    { .title = "EXPORT", .key = "export" },
    { .title = "STATE", .key = "state" },
    { .title = "READ", .key = "read_bytes", .right = true, .put = text_cell_size },
    { .title = "WRITTEN", .key = "written_bytes", .right = true, .put = text_cell_size },
    { .title = "FLIGHT", .key = "in_flight", .right = true },
    { .title = "SINCE", .key = "since" },
    { .title = "TLS", .key = "tls" },
    { .title = "CLIENT", .key = "peer" },
    { 0 },
};

static const struct text_column request_columns[] = {
    { .title = "AGE", .key = "age_us", .right = true, .put = text_cell_duration_us },
    { .title = "EXPORT", .key = "export" },
    { .title = "CLIENT", .key = "client", .right = true },
    { .title = "OPERATION", .key = "operation" },
    { .title = "PHASE", .key = "phase" },
    { .title = "OFFSET", .key = "offset_bytes", .right = true },
    { .title = "LENGTH", .key = "length_bytes", .right = true },
    { 0 },
};

static const struct text_column show_columns[] = {
    { .title = "name", .key = "name" },
    { .title = "state", .key = "state" },
    { .title = "image", .key = "image" },
    { .title = "backend", .key = "backend" },
    { .title = "description", .key = "description" },
    { .title = "size", .key = "size_bytes", .put = text_cell_size },
    { .title = "bytes", .key = "size_bytes" },
    { .title = "encrypted", .key = "encrypted" },
    { .title = "luks", .key = "version" },
    { .title = "uuid", .key = "uuid" },
    { .title = "cipher", .key = "cipher" },
    { .title = "key bits", .key = "key_bits" },
    { .title = "sector", .key = "sector_bytes" },
    { .title = "key", .key = "key_source" },
    { .title = "read-only", .key = "read_only" },
    { .title = "tls-only", .key = "tls_only" },
    { .title = "limits", .key = "limits", .put = ctl_limits_cell },
    { .title = "clients", .key = "clients" },
    { .title = "attached", .key = "attached" },
    { .title = "requests", .key = "requests" },
    { .title = "errors", .key = "errors" },
    { .title = "read", .key = "read_bytes", .put = text_cell_size },
    { .title = "written", .key = "written_bytes", .put = text_cell_size },
    { .title = "in flight", .key = "in_flight" },
    { .title = "oldest", .key = "oldest_us", .put = text_cell_duration_us },
    { .title = "metadata", .key = "metadata", .put = text_cell_words },
    { 0 },
};

/* What one reply has under `key`. */
static int print_one(struct ctl *ctl, const char *method, const char *key,
                     const struct text_column *columns)
{
    struct json_object *reply;
    int status = ctl_call(ctl, method, ctl_operand(ctl, "name"), &reply);
    struct json_object *one = control_member(reply, key);

    if (status == EXIT_SUCCESS && ctl->options.json)
        ctl_print_json(json_object_get(one));
    else if (status == EXIT_SUCCESS)
        text_table_print_one(stdout, columns, one);
    json_object_put(reply);
    return status;
}

/* What all replies have under `key`. */
static int print_list(struct ctl *ctl, const char *method, const char *key,
                      const struct text_column *columns)
{
    struct json_object *list;
    int status = ctl_list(ctl, method, NULL, key, &list);

    if (status == EXIT_SUCCESS && ctl->options.json)
        ctl_print_json(json_object_get(list));
    else if (status == EXIT_SUCCESS)
        text_table_print(stdout, columns, list);
    json_object_put(list);
    return status;
}

int ctl_status(struct ctl *ctl)
{
    return print_one(ctl, "Status", "status", status_columns);
}

int ctl_exports(struct ctl *ctl)
{
    return print_list(ctl, "ListExports", "export", export_columns);
}

int ctl_clients(struct ctl *ctl)
{
    return print_list(ctl, "ListClients", "client", client_columns);
}

/* All in one reply. */
static int show_slow(struct ctl *ctl)
{
    static const struct text_column columns[] = {
        { .title = "SINCE", .key = "since" },
        { .title = "TOOK", .key = "age_us", .right = true, .put = text_cell_duration_us },
        { .title = "ENDED", .key = "ended" },
        { .title = "THROTTLED",
          .key = "throttled_us",
          .right = true,
          .put = text_cell_duration_us },
        { .title = "BACKEND", .key = "backend_us", .right = true, .put = text_cell_duration_us },
        { .title = "CIPHER", .key = "crypto_us", .right = true, .put = text_cell_duration_us },
        { .title = "CLIENT'S", .key = "client_us", .right = true, .put = text_cell_duration_us },
        { .title = "EXPORT", .key = "export" },
        { .title = "OPERATION", .key = "operation" },
        { .title = "OFFSET", .key = "offset_bytes", .right = true },
        { .title = "LENGTH", .key = "length_bytes", .right = true },
        { .title = "CLIENT", .key = "peer" },
        { 0 },
    };
    struct json_object *reply;
    int status = ctl_call(ctl, "ListSlowRequests", NULL, &reply);
    struct json_object *requests = control_member(reply, "requests");

    if (status == EXIT_SUCCESS && ctl->options.json)
        ctl_print_json(json_object_get(requests));
    else if (status == EXIT_SUCCESS && requests != NULL)
        text_table_print(stdout, columns, requests);
    json_object_put(reply);
    return status;
}

int ctl_requests(struct ctl *ctl)
{
    if (ctl->options.slow)
        return show_slow(ctl);
    return print_list(ctl, "ListRequests", "request", request_columns);
}

static void add_members(struct json_object *to, struct json_object *from)
{
    if (from == NULL)
        return;
    json_object_object_foreach(from, key, value)
    {
        control_add(to, key, json_object_get(value));
    }
}

/* A line for each: a rule may have blanks. */
static void print_rules(struct json_object *rules)
{
    static const struct text_column columns[] = { { .title = "allow", .key = "allow" }, { 0 } };
    size_t count = rules != NULL ? json_object_array_length(rules) : 0;

    for (size_t i = 0; i < count; i++) {
        struct json_object *rule =
            control_with("allow", json_object_get(json_object_array_get_idx(rules, i)));

        text_table_print_one(stdout, columns, rule);
        json_object_put(rule);
    }
    if (count == 0)
        puts("allow       everybody who can connect");
}

int ctl_show(struct ctl *ctl)
{
    struct json_object *reply;
    int status = ctl_call(ctl, "ListExports", ctl_operand(ctl, "name"), &reply);
    struct json_object *export = control_member(reply, "export");

    if (status == EXIT_SUCCESS && ctl->options.json) {
        control_add(export, "figures", json_object_get(control_member(reply, "figures")));
        ctl_print_json(json_object_get(export));
    } else if (status == EXIT_SUCCESS) {
        struct json_object *row = json_object_new_object();

        add_members(row, control_member(reply, "figures"));
        add_members(row, control_member(export, "luks"));
        add_members(row, export);
        text_table_print_one(stdout, show_columns, row);
        print_rules(control_member(export, "allow"));
        json_object_put(row);
    }
    json_object_put(reply);
    return status;
}
