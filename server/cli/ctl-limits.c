#include "server/cli/ctl-limits.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/control/control-json.h"

/* "100M" of a number of bytes that is one. */
static void shorten(char *out, size_t bytes, const char *key, const char *value)
{
    static const char suffixes[] = "KMGT";
    bool is_size = strstr(key, "bandwidth") != NULL || strstr(key, "size") != NULL;
    char *rest;
    uint64_t number = strtoull(value, &rest, 10);
    int suffix = -1;

    while (is_size && number > 0 && number % 1024 == 0 && suffix < 3) {
        number /= 1024;
        suffix++;
    }
    if (suffix < 0)
        (void)snprintf(out, bytes, "%s", value);
    else
        (void)snprintf(out, bytes, "%" PRIu64 "%c%s", number, suffixes[suffix], rest);
}

void ctl_limits_cell(char out[TEXT_CELL_BYTES], struct json_object *value)
{
    size_t used = 0;

    (void)snprintf(out, TEXT_CELL_BYTES, "-");
    json_object_object_foreach(value, key, one)
    {
        const char *name = strncmp(key, "limit-", 6) == 0 ? key + 6 : key;
        char text[64];
        int bytes;

        shorten(text, sizeof text, key, json_object_get_string(one));
        bytes = snprintf(out + used, TEXT_CELL_BYTES - used, "%s%s=%s", used > 0 ? " " : "", name,
                         text);
        if (bytes < 0 || (size_t)bytes >= TEXT_CELL_BYTES - used)
            return;
        used += (size_t)bytes;
    }
}

static void print_limits(struct json_object *limits)
{
    json_object_object_foreach(limits, key, value)
    {
        char text[64];

        shorten(text, sizeof text, key, json_object_get_string(value));
        printf("%s=%s\n", key, text);
    }
}

/* What the words behind the name say; NULL: nothing. */
static struct json_object *limits_of(const struct ctl *ctl)
{
    struct json_object *limits = ctl->other_count > 0 ? json_object_new_object() : NULL;

    for (int i = 0; i < ctl->other_count; i++) {
        char *equals = strchr(ctl->others[i], '=');

        *equals = '\0';
        control_add_text(limits, ctl->others[i], equals + 1);
    }
    return limits;
}

/* Of the answer to either call. */
static struct json_object *limits_in(struct json_object *reply)
{
    struct json_object *groups = control_member(reply, "groups");
    struct json_object *one =
        groups != NULL ? json_object_array_get_idx(groups, 0) : control_member(reply, "export");

    return control_member(one != NULL ? one : reply, "limits");
}

/* Those that hold, and with words behind the name those that hold from now on. */
int ctl_limits(struct ctl *ctl)
{
    struct json_object *parameters = ctl_operand(ctl, "name"), *reply;
    struct json_object *given = limits_of(ctl);
    bool group = ctl->options.group;
    const char *method = group ? "ListGroups" : "ListExports";

    if (given != NULL) {
        control_add(parameters, "limits", given);
        method = group ? "SetGroupLimits" : "SetLimits";
    }
    int status = ctl_call(ctl, method, parameters, &reply);
    struct json_object *limits = limits_in(reply);
    if (status == EXIT_SUCCESS && ctl->options.json)
        ctl_print_json(json_object_get(limits));
    else if (status == EXIT_SUCCESS && limits != NULL && json_object_object_length(limits) > 0)
        print_limits(limits);
    else if (status == EXIT_SUCCESS)
        puts("no limits");
    json_object_put(reply);
    return status;
}

int ctl_groups(struct ctl *ctl)
{
    static const struct text_column columns[] = {
        { .title = "NAME", .key = "name" },
        { .title = "LIMITS", .key = "limits", .put = ctl_limits_cell },
        { .title = "WEIGHT", .key = "weight", .right = true },
        { .title = "EXPORTS", .key = "exports", .put = text_cell_words },
        { 0 },
    };
    struct json_object *reply;
    int status = ctl_call(ctl, "ListGroups", NULL, &reply);
    struct json_object *groups = control_member(reply, "groups");

    if (status == EXIT_SUCCESS && ctl->options.json)
        ctl_print_json(json_object_get(groups));
    else if (status == EXIT_SUCCESS && groups != NULL)
        text_table_print(stdout, columns, groups);
    json_object_put(reply);
    return status;
}
