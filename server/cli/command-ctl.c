#include "server/cli/command-ctl.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/base/log.h"
#include "server/base/params.h"
#include "server/cli/command-line.h"
#include "server/cli/ctl-metadata.h"
#include "server/cli/ctl-top.h"
#include "server/cli/ctl.h"
#include "server/cli/ctl-reload.h"
#include "server/cli/ctl-suspend.h"
#include "server/cli/text-table.h"
#include "server/control/control-json.h"

#define TIMEOUT_SECONDS_DEFAULT 10u

/* ---- looks ---- */

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
    { .title = "clients", .key = "clients" },
    { .title = "at most", .key = "clients_max" },
    { .title = "handshakes", .key = "handshakes" },
    { .title = "log", .key = "log_level" },
    { .title = "your role", .key = "role" },
    { 0 },
};

static const struct text_column export_columns[] = {
    { .title = "NAME", .key = "name" },
    { .title = "STATE", .key = "state" },
    { .title = "SIZE", .key = "size_bytes", .right = true, .put = text_cell_size },
    { .title = "LUKS", .key = "encrypted" },
    { .title = "READ-ONLY", .key = "read_only" },
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
    { .title = "description", .key = "description" },
    { .title = "size", .key = "size_bytes", .put = text_cell_size },
    { .title = "bytes", .key = "size_bytes" },
    { .title = "luks", .key = "encrypted" },
    { .title = "key", .key = "key_source" },
    { .title = "read-only", .key = "read_only" },
    { .title = "tls-only", .key = "tls_only" },
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

static int show_status(struct ctl *ctl)
{
    return print_one(ctl, "Status", "status", status_columns);
}

static int show_exports(struct ctl *ctl)
{
    return print_list(ctl, "ListExports", "export", export_columns);
}

static int show_clients(struct ctl *ctl)
{
    return print_list(ctl, "ListClients", "client", client_columns);
}

static int show_requests(struct ctl *ctl)
{
    return print_list(ctl, "ListRequests", "request", request_columns);
}

static int show_export(struct ctl *ctl)
{
    return print_one(ctl, "ListExports", "export", show_columns);
}

/* ---- events ---- */

static void print_event(struct json_object *reply)
{
    static const char *const keys[] = { "export", "peer", "reason", "size_bytes" };
    struct json_object *event = control_member(reply, "event");
    int64_t lost = control_number(reply, "lost", 0);
    char cell[TEXT_CELL_BYTES];

    if (lost > 0)
        printf("(%lld events were lost)\n", (long long)lost);
    text_table_cell(cell, &(struct text_column){ .key = "time" }, event);
    printf("%s ", cell);
    text_table_cell(cell, &(struct text_column){ .key = "type" }, event);
    printf("%s", cell);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (control_member(event, keys[i]) == NULL)
            continue;
        text_table_cell(cell, &(struct text_column){ .key = keys[i] }, event);
        printf(" %s='%s'", keys[i], cell);
    }
    printf("\n");
    fflush(stdout);
}

/* Until the server or the reader of this goes. */
static int follow_events(struct ctl *ctl)
{
    struct json_object *parameters = NULL;
    bool last = false;

    if (ctl->options.type != NULL)
        parameters = control_with("type", json_object_new_string(ctl->options.type));
    ctl->link.timeout_ms = CONTROL_FOR_EVER;
    int status = ctl_begin(ctl, "Events", parameters);
    while (status == EXIT_SUCCESS && !last && !ferror(stdout)) {
        struct json_object *reply;

        status = ctl_next(ctl, &reply, &last);
        if (status == EXIT_SUCCESS && ctl->options.json)
            ctl_print_json_line(json_object_get(reply));
        else if (status == EXIT_SUCCESS)
            print_event(reply);
        json_object_put(reply);
    }
    return status;
}

/* ---- changes ---- */

static bool is_log_level(const char *name)
{
    static const char *const names[] = { "error", "warning", "notice", "info", "debug" };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static int set_log_level(struct ctl *ctl)
{
    if (!is_log_level(ctl->operand)) {
        log_error("'%.80s' is no level: it is error, warning, notice, info or debug", ctl->operand);
        return EXIT_USAGE;
    }

    struct json_object *parameters = ctl_operand(ctl, "level");

    if (ctl->options.for_seconds > 0)
        control_add_number(parameters, "seconds", ctl->options.for_seconds);
    return ctl_change(ctl, "SetLogLevel", parameters);
}

static int disconnect(struct ctl *ctl)
{
    char *end;
    long long id = strtoll(ctl->operand, &end, 10);

    if (*ctl->operand == '\0' || *end != '\0' || id <= 0) {
        log_error("'%.80s' is no ID: nbdcrypt ctl clients shows them", ctl->operand);
        return EXIT_USAGE;
    }
    return ctl_change(ctl, "Disconnect", control_with("id", json_object_new_int64(id)));
}

static int rescan(struct ctl *ctl)
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

static int add_export(struct ctl *ctl)
{
    struct json_object *parameters = ctl_operand(ctl, "name"), *allow, *reply;
    int fd = ctl->options.key_fd > 0 ? (int)ctl->options.key_fd : -1;

    control_add_text(parameters, "image", ctl->others[0]);
    control_add(parameters, "options", options_of(ctl, &allow));
    if (allow != NULL)
        control_add(parameters, "allow", allow);
    if (fd >= 0)
        control_add_number(parameters, "key_fd", 0);
    int status = ctl_call_with_fd(ctl, "AddExport", parameters, fd, &reply);
    if (status == EXIT_SUCCESS && ctl->options.json)
        ctl_print_json(json_object_get(reply));
    json_object_put(reply);
    return status;
}

/* ---- exports that go ---- */

/* Returns when the image is closed. */
static int remove_export(struct ctl *ctl)
{
    struct json_object *parameters = ctl_operand(ctl, "name");

    if (ctl->options.now)
        control_add_text(parameters, "mode", "now");
    if (ctl->options.drain_seconds > 0) {
        control_add_text(parameters, "mode", "drain");
        control_add_number(parameters, "seconds", ctl->options.drain_seconds);
    }
    if (!ctl->timeout_given && ctl->options.drain_seconds > 0)
        ctl->link.timeout_ms = CONTROL_FOR_EVER;
    return ctl_change(ctl, "RemoveExport", parameters);
}

/* The server is gone when this returns. */
static int drain(struct ctl *ctl)
{
    struct json_object *reply = NULL;
    struct error err = { "" };
    int status = ctl_change(ctl, "Drain", NULL);

    if (status != EXIT_SUCCESS)
        return status;
    if (!ctl->timeout_given)
        ctl->link.timeout_ms = CONTROL_FOR_EVER;
    int result = control_link_receive(&ctl->link, &reply, &err);
    json_object_put(reply);
    if (result == -EPIPE)
        return EXIT_SUCCESS;
    log_error("the server was told to end: %s", err.text);
    return EXIT_FAILURE;
}

/* ---- the command line ---- */

#define FIELD(name) offsetof(struct ctl_options, name)

static const struct param ctl_params[] = {
    PARAM("socket", STRING, "PATH", socket,
          "the control socket (default: /run/nbdcrypt/control, else "
          "$XDG_RUNTIME_DIR/nbdcrypt/control)"),
    PARAM("json", FLAG, NULL, json, "for programs"),
    PARAM("timeout", UINT, "SECONDS", timeout_seconds,
          "how long to wait for an answer (default 10)", .max = 86400),
    PARAM("type", STRING, "TYPE", type,
          "events: those of this type alone, such as client or client.denied"),
    PARAM("for", UINT, "SECONDS", for_seconds, "log: then the usual level is in force again",
          .min = 1, .max = 86400),
    PARAM("key-fd", UINT, "N", key_fd,
          "add, resume: its passphrase is read from this file descriptor to its end", .min = 3,
          .max = 1048576),
    PARAM("drain", UINT, "SECONDS", drain_seconds,
          "remove: hidden at once, its clients may stay so long", .min = 1, .max = 86400),
    PARAM("now", FLAG, NULL, now, "remove: its clients are told to go"),
    PARAM("delay", UINT, "SECONDS", delay_seconds, "top: between two looks (default 2)",
          .letter = 'd', .min = 1, .max = 3600),
    PARAM("count", UINT, "N", count, "top: end after so many", .letter = 'n', .min = 1,
          .max = 1000000),
    PARAM("batch", FLAG, NULL, batch, "top: one table after the other, as if not on a terminal"),
    PARAM("dry-run", FLAG, NULL, dry_run, "reload: tell what it would do, and do nothing"),
    PARAM("replace", LIST, "NAME", replace,
          "reload: this export may be opened anew, and its clients disconnected (repeatable)"),
    PARAM("help", FLAG, NULL, help, "print this text", .letter = 'h'),
    { 0 },
};

/* Options that verbs have of their own: the bit of each, and its option. */
enum {
    TYPE = 1,
    FOR = 2,
    KEY_FD = 4,
    DRAIN = 8,
    NOW = 16,
    TOP = 32,
    DRY_RUN = 64,
    REPLACE = 128,
};

static const struct verb {
    const char *name, *operands, *help;
    int least, most; /* operands */
    unsigned options;
    int (*run)(struct ctl *ctl);
} verbs[] = {
    { .name = "status", .help = "how the server is", .run = show_status },
    { .name = "exports", .help = "what it serves", .run = show_exports },
    { .name = "clients", .help = "who is connected", .run = show_clients },
    { .name = "requests", .help = "what clients wait for", .run = show_requests },
    { .name = "top",
      .options = TOP,
      .help = "what exports do, again and again, until q is pressed",
      .run = ctl_top },
    { .name = "show",
      .operands = "NAME",
      .least = 1,
      .most = 1,
      .help = "one export, and where its key comes from",
      .run = show_export },
    { .name = "events",
      .help = "what happens, as it happens, until interrupted",
      .options = TYPE,
      .run = follow_events },
    { .name = "add",
      .operands = "NAME IMAGE [KEY=VALUE] ...",
      .least = 2,
      .most = INT_MAX,
      .options = KEY_FD,
      .help = "serve one more image, with options as of --export",
      .run = add_export },
    { .name = "remove",
      .operands = "NAME",
      .least = 1,
      .most = 1,
      .options = DRAIN | NOW,
      .help = "serve it no more; without an option only if it has no clients",
      .run = remove_export },
    { .name = "suspend",
      .operands = "NAME",
      .least = 1,
      .most = 1,
      .help = "forget its key; its clients wait",
      .run = ctl_suspend },
    { .name = "resume",
      .operands = "NAME",
      .least = 1,
      .most = 1,
      .options = KEY_FD,
      .help = "read its key again; its clients go on",
      .run = ctl_resume },
    { .name = "disconnect",
      .operands = "ID",
      .least = 1,
      .most = 1,
      .help = "tell a client to go",
      .run = disconnect },
    { .name = "metadata",
      .operands = "get|set|remove NAME [NAMESPACE] [FILE]",
      .least = 2,
      .most = 4,
      .help = "what applications recorded of a disk",
      .run = ctl_metadata },
    { .name = "log",
      .operands = "error|warning|notice|info|debug",
      .least = 1,
      .most = 1,
      .options = FOR,
      .help = "write to the log what is at least as grave",
      .run = set_log_level },
    { .name = "rescan",
      .operands = "[NAME]",
      .most = 1,
      .help = "notice images that have grown",
      .run = rescan },
    { .name = "reload",
      .options = DRY_RUN | REPLACE,
      .help = "read the configuration and the TLS files again",
      .run = ctl_reload },
    { .name = "drain", .help = "end the server as SIGTERM does, and wait for it", .run = drain },
};
#define VERBS (sizeof verbs / sizeof verbs[0])

static int print_help(void)
{
    printf("Asks a running server what it does, and tells it to change something.\n"
           "\n"
           "Usage: nbdcrypt ctl [OPTIONS] VERB [OPERAND] ...\n"
           "\n"
           "Verbs:\n");
    for (size_t i = 0; i < VERBS; i++) {
        const char *operands = verbs[i].operands != NULL ? verbs[i].operands : "";
        int used = printf("  %s %s", verbs[i].name, operands);

        if (used > 16)
            printf("\n%17s", "");
        else
            printf("%*s", 17 - used, "");
        printf("%s\n", verbs[i].help);
    }
    printf("\nOptions:\n");
    params_print_help(stdout, ctl_params);
    printf("\n"
           "Exit status: 0; 1 it failed; 2 wrong use; 3 there is no server; 4 this user\n"
           "may not do that; 5 the server or the export is busy, or something was changed\n"
           "meanwhile.\n");
    return command_line_finish();
}

static const struct verb *find_verb(const char *name, struct error *err)
{
    struct param names[VERBS + 1] = { 0 };

    for (size_t i = 0; i < VERBS; i++) {
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
        names[i].name = verbs[i].name;
    }
    const char *meant = params_nearest(names, name);
    if (meant != NULL)
        error_set(err, -EINVAL, "there is no 'ctl %.80s': did you mean %s?", name, meant);
    else
        error_set(err, -EINVAL, "there is no 'ctl %.80s': nbdcrypt ctl --help lists the verbs",
                  name);
    return NULL;
}

/* An option that this verb has not got; NULL: there is none. */
static const char *foreign_option(const struct verb *verb, const struct ctl_options *options)
{
    const struct {
        unsigned option;
        bool given;
        const char *text;
    } own[] = {
        { TYPE, options->type != NULL, "--type is for ctl events" },
        { FOR, options->for_seconds > 0, "--for is for ctl log" },
        { KEY_FD, options->key_fd > 0, "--key-fd is for ctl add and resume" },
        { DRAIN, options->drain_seconds > 0, "--drain is for ctl remove" },
        { NOW, options->now, "--now is for ctl remove" },
        { TOP, options->delay_seconds > 0, "--delay is for ctl top" },
        { TOP, options->count > 0, "--count is for ctl top" },
        { TOP, options->batch, "--batch is for ctl top" },
        { DRY_RUN, options->dry_run, "--dry-run is for ctl reload" },
        { REPLACE, options->replace.count > 0, "--replace is for ctl reload" },
    };

    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (own[i].given && (verb->options & own[i].option) == 0)
            return own[i].text;
    return NULL;
}

static int check(const struct verb *verb, const struct ctl_options *options, int count,
                 char **operands, struct error *err)
{
    if (count < verb->least)
        return error_set(err, -EINVAL, "too few operands: nbdcrypt ctl %s %s", verb->name,
                         verb->operands);
    if (count > verb->most)
        return error_set(err, -EINVAL, "'%.80s' is one operand too many for ctl %s",
                         operands[verb->most], verb->name);
    if (foreign_option(verb, options) != NULL)
        return error_set(err, -EINVAL, "%s", foreign_option(verb, options));
    if (options->now && options->drain_seconds > 0)
        return error_set(err, -EINVAL,
                         "--now and --drain contradict each other: leave out one of the two");
    for (int i = 2; verb->most == INT_MAX && i < count; i++)
        if (strchr(operands[i], '=') == NULL)
            return error_set(err, -EINVAL,
                             "'%.80s' is not KEY=VALUE: a word behind the image is an option with "
                             "its value, such as raw=yes",
                             operands[i]);
    return 0;
}

/* NULL: it is wrong, and *err says why. */
static const struct verb *parse(struct ctl *ctl, int argc, char **argv, struct error *err)
{
    int first = argc;

    if (params_parse_argv(&ctl->options, ctl_params, argc, argv, &first, err) < 0)
        return NULL;
    if (ctl->options.help)
        return NULL;
    if (first == argc) {
        error_set(err, -EINVAL, "no verb was given: nbdcrypt ctl --help lists them");
        return NULL;
    }
    const struct verb *verb = find_verb(argv[first], err);
    if (verb == NULL || check(verb, &ctl->options, argc - first - 1, argv + first + 1, err) < 0)
        return NULL;
    ctl->operand = first + 1 < argc ? argv[first + 1] : NULL;
    ctl->other_count = argc - first > 2 ? argc - first - 2 : 0;
    ctl->others = argv + argc - ctl->other_count;
    return verb;
}

static int ctl(int argc, char **argv)
{
    struct ctl it = { .options.timeout_seconds = UINT_MAX };
    struct error err = { "" };
    const struct verb *verb = parse(&it, argc, argv, &err);

    if (verb == NULL && it.options.help)
        return print_help();
    if (verb == NULL) {
        log_error("%s", err.text);
        return EXIT_USAGE;
    }
    it.timeout_given = it.options.timeout_seconds != UINT_MAX;
    unsigned seconds = it.timeout_given ? it.options.timeout_seconds : TIMEOUT_SECONDS_DEFAULT;
    int status = ctl_open(&it, seconds > 0 ? (int)seconds * 1000 : CONTROL_FOR_EVER);
    if (status == EXIT_SUCCESS)
        status = verb->run(&it);
    control_link_close(&it.link);
    params_free(&it.options, ctl_params);
    if (status == EXIT_SUCCESS)
        status = command_line_finish();
    return status;
}

const struct command command_ctl = {
    .name = "ctl",
    .help = "ask a running server, or tell it to change something",
    .operands = "status|exports|clients|requests|top|show|events|add|remove|suspend|resume|"
                "disconnect|metadata|log|rescan|reload|drain [OPERAND] ...",
    .params = ctl_params,
    .run_itself = ctl,
};
