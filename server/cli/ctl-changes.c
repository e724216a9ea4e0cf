#include "server/cli/ctl-changes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/log.h"
#include "server/cli/command-line.h"
#include "server/cli/text-table.h"
#include "server/control/control-json.h"

static bool is_log_level(const char *name)
{
    static const char *const names[] = { "error", "warning", "notice", "info", "debug" };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

int ctl_log(struct ctl *ctl)
{
    const char *export = ctl->options.export_name;
    bool usual = strcmp(ctl->operand, "usual") == 0;

    if (usual && export == NULL) {
        log_error("usual is the level of one export: write --export NAME");
        return EXIT_USAGE;
    }
    if (!usual && !is_log_level(ctl->operand)) {
        log_error("'%.80s' is no level: it is error, warning, notice, info or debug", ctl->operand);
        return EXIT_USAGE;
    }

    struct json_object *parameters = ctl_operand(ctl, "level");

    if (ctl->options.for_seconds > 0)
        control_add_number(parameters, "seconds", ctl->options.for_seconds);
    if (export != NULL)
        control_add_text(parameters, "export", export);
    return ctl_change(ctl, "SetLogLevel", parameters);
}

/* What is asked for; NULL: it is wrong, which was said. */
static struct json_object *which_clients(const struct ctl *ctl)
{
    const struct ctl_options *options = &ctl->options;
    struct json_object *parameters;
    char *end = NULL;
    long long id = ctl->operand != NULL ? strtoll(ctl->operand, &end, 10) : 0;

    if (ctl->operand == NULL && options->export_name == NULL && options->rule == NULL) {
        log_error("which clients? write an ID (nbdcrypt ctl clients shows them), --export NAME or "
                  "--rule RULE");
        return NULL;
    }
    if (ctl->operand != NULL && (*ctl->operand == '\0' || *end != '\0' || id <= 0)) {
        log_error("'%.80s' is no ID: nbdcrypt ctl clients shows them", ctl->operand);
        return NULL;
    }
    parameters = json_object_new_object();
    if (ctl->operand != NULL)
        control_add(parameters, "id", json_object_new_int64(id));
    if (options->export_name != NULL)
        control_add_text(parameters, "export", options->export_name);
    if (options->rule != NULL)
        control_add_text(parameters, "rule", options->rule);
    return parameters;
}

/* Of one that was named nothing more is to be said. */
int ctl_disconnect(struct ctl *ctl)
{
    struct json_object *parameters = which_clients(ctl), *reply;

    if (parameters == NULL)
        return EXIT_USAGE;
    int status = ctl_call(ctl, "Disconnect", parameters, &reply);
    long long count = (long long)control_number(reply, "disconnected", 0);
    if (status == EXIT_SUCCESS && ctl->options.json)
        ctl_print_json(json_object_get(reply));
    else if (status == EXIT_SUCCESS && ctl->operand == NULL)
        printf("%lld client%s told to go\n", count, count == 1 ? " was" : "s were");
    json_object_put(reply);
    return status;
}

int ctl_rescan(struct ctl *ctl)
{
    static const struct text_column columns[] = {
        { .title = "GROWN", .key = "name" },
        { .title = "FROM", .key = "before_bytes", .right = true, .put = text_cell_size },
        { .title = "TO", .key = "size_bytes", .right = true, .put = text_cell_size },
        { 0 },
    };
    struct json_object *reply;
    int status = ctl_call(ctl, "Rescan", ctl_operand(ctl, "name"), &reply);
    struct json_object *grown = control_member(reply, "grown");

    if (status == EXIT_SUCCESS && ctl->options.json)
        ctl_print_json(json_object_get(reply));
    else if (status == EXIT_SUCCESS && json_object_array_length(grown) > 0)
        text_table_print(stdout, columns, grown);
    json_object_put(reply);
    return status;
}

/* The words behind the image: {"KEY": "VALUE"}, and in *allow the rules. */
static struct json_object *options_of(const struct ctl *ctl, struct json_object **allow)
{
    struct json_object *options = json_object_new_object();

    *allow = NULL;
    for (int i = 1; i < ctl->other_count; i++) {
        char *equals = strchr(ctl->others[i], '=');

        *equals = '\0';
        if (strcmp(ctl->others[i], "allow") != 0) {
            control_add_text(options, ctl->others[i], equals + 1);
            continue;
        }
        if (*allow == NULL)
            *allow = json_object_new_array();
        control_append(*allow, json_object_new_string(equals + 1));
    }
    return options;
}

static int add_or_replace(struct ctl *ctl, const char *method)
{
    struct json_object *parameters = ctl_operand(ctl, "name"), *allow;
    int fd = ctl->options.key_fd > 0 ? (int)ctl->options.key_fd : -1;

    control_add_text(parameters, "image", ctl->others[0]);
    control_add(parameters, "options", options_of(ctl, &allow));
    if (allow != NULL)
        control_add(parameters, "allow", allow);
    if (ctl->options.persist)
        control_add_flag(parameters, "persist", true);
    return ctl_change_with_key(ctl, method, parameters, fd);
}

int ctl_add(struct ctl *ctl)
{
    return add_or_replace(ctl, "AddExport");
}

int ctl_replace(struct ctl *ctl)
{
    return add_or_replace(ctl, "ReplaceExport");
}

/* ---- exports that go ---- */

/* Returns when the image is closed. */
int ctl_remove(struct ctl *ctl)
{
    struct json_object *parameters = ctl_operand(ctl, "name");

    if (ctl->options.now)
        control_add_text(parameters, "mode", "now");
    if (ctl->options.drain_seconds > 0) {
        control_add_text(parameters, "mode", "drain");
        control_add_number(parameters, "seconds", ctl->options.drain_seconds);
    }
    if (ctl->options.persist)
        control_add_flag(parameters, "persist", true);
    if (ctl->options.if_present)
        control_add_flag(parameters, "if_present", true);
    ctl_wait_for_change(ctl);
    return ctl_change(ctl, "RemoveExport", parameters);
}

/* The server is gone when this returns. */
int ctl_drain(struct ctl *ctl)
{
    struct json_object *reply = NULL;
    struct error err = { "" };
    int status = ctl_change(ctl, "Drain", NULL);

    if (status != EXIT_SUCCESS)
        return status;
    ctl_wait_for_change(ctl);
    int result = control_link_receive(&ctl->link, &reply, &err);
    json_object_put(reply);
    if (result == -EPIPE)
        return EXIT_SUCCESS;
    log_error("the server was told to end: %s", err.text);
    return EXIT_FAILURE;
}
