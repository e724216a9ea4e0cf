#include "server/serve/command-check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "server/base/log.h"
#include "server/cli/header-text.h"
#include "server/config/config-folder.h"
#include "server/serve/check-running.h"
#include "server/serve/config-keys.h"
#include "server/serve/config-look.h"
#include "server/serve/serve-options.h"

struct check_arguments {
    const char *config;
    struct param_list config_dirs;
    const char *socket;
    bool open, running, json, keys, help;
};

#define FIELD(name) offsetof(struct check_arguments, name)

static const struct param check_params[] = {
    PARAM("config", STRING, "FILE", config,
          "read this file, and *.conf in conf.d beside it (default: " CONFIG_FILE_DEFAULT ")"),
    PARAM("config-dir", LIST, "DIR", config_dirs,
          "read *.conf from this folder instead of conf.d (repeatable, in this order)"),
    PARAM("open", FLAG, NULL, open,
          "also look at the images and their headers, at key files, programs and certificates"),
    PARAM("running", FLAG, NULL, running,
          "also ask the running server what a reload of its configuration would change"),
    PARAM("socket", STRING, "PATH", socket, "--running: the control socket, as of nbdcrypt ctl"),
    PARAM("json", FLAG, NULL, json, "print JSON, in a form that scripts can rely on"),
    PARAM("keys", FLAG, NULL, keys, "print all sections and their keys, and do nothing else"),
    PARAM("help", FLAG, NULL, help, "show this help", .letter = 'h'),
    { 0 },
};

static const struct check_arguments usual = { .config = CONFIG_FILE_DEFAULT };

static int no_memory(struct error *err)
{
    return error_no_memory(err, NULL);
}

/* ---- keys ---- */

static void print_key(const char *section, const char *key, const char *value)
{
    printf("%s\t%s\t%s\n", section, key, value != NULL ? value : "yes|no");
}

static void print_keys(void)
{
    const char *sections[CONFIG_SECTIONS_MAX];
    size_t count = config_sections(sections);

    for (size_t i = 0; i < count; i++) {
        struct config_keys keys;

        config_keys_of(&keys, sections[i]);
        for (const struct param *row = keys.rows; row->name != NULL; row++)
            print_key(sections[i], row->name, row->value);
    }
    print_key(CONFIG_EXPORT, CONFIG_METADATA, "TEXT");
    print_key(CONFIG_EXPORT, CONFIG_METADATA_FILE, "FILE");
}

/* ---- JSON ---- */

static void put(struct json_object *object, const char *key, const char *text)
{
    json_object_object_add(object, key, text != NULL ? json_object_new_string(text) : NULL);
}

static struct json_object *finding(const struct config_problem *problem)
{
    struct json_object *object = json_object_new_object();

    put(object, "file", problem->place.file);
    json_object_object_add(object, "line",
                           problem->place.line > 0 ? json_object_new_int64(problem->place.line)
                                                   : NULL);
    put(object, "text", problem->text);
    return object;
}

static struct json_object *metadata_of(const struct export_metadata *metadata)
{
    struct json_object *object = json_object_new_object();

    for (size_t i = 0; i < metadata->count; i++)
        json_object_object_add(object, metadata->items[i].name_space,
                               json_object_new_string_len(metadata->items[i].value,
                                                          (int)metadata->items[i].value_bytes));
    return object;
}

static struct json_object *rules_of(const struct serve_options *options,
                                    const struct export_settings *settings)
{
    const struct param_list *rules =
        settings->allow.count > 0 ? &settings->allow : &options->common.allow;
    struct json_object *array = json_object_new_array();

    for (size_t i = 0; i < rules->count; i++)
        json_object_array_add(array, json_object_new_string(rules->items[i]));
    return array;
}

/* `header` goes into it. */
static struct json_object *export_of(const struct serve_options *options,
                                     const struct export_settings *settings,
                                     struct json_object *header)
{
    struct json_object *object = json_object_new_object();

    put(object, "name", settings->name);
    put(object, "image", settings->image);
    put(object, "description", settings->description);
    json_object_object_add(object, "raw", json_object_new_boolean(settings->raw));
    json_object_object_add(object, "read-only",
                           json_object_new_boolean(settings->options.read_only));
    put(object, "key-source", settings->raw ? NULL : key_source_given(&settings->key));
    json_object_object_add(object, "allow", rules_of(options, settings));
    json_object_object_add(object, "metadata", metadata_of(&settings->metadata));
    if (header != NULL)
        json_object_object_add(object, "header", header);
    return object;
}

/* Without exports where what they are is not known; `plan` goes into it. */
static void print_json(const struct serve_options *options, bool exports,
                       struct json_object **headers, struct json_object *plan)
{
    const struct config_problems *problems = &options->files.problems;
    struct json_object *report = json_object_new_object(), *findings = json_object_new_array(),
                       *array = json_object_new_array();

    for (size_t i = 0; i < problems->count; i++)
        json_object_array_add(findings, finding(&problems->items[i]));
    for (size_t i = 0; exports && i < options->export_count; i++) {
        json_object_array_add(array, export_of(options, &options->exports[i], headers[i]));
        headers[i] = NULL;
    }
    put(report, "config", options->config);
    json_object_object_add(report, "files",
                           json_object_new_int64((int64_t)options->files.file_count));
    json_object_object_add(report, "findings-count",
                           json_object_new_int64((int64_t)config_problems_count(problems)));
    json_object_object_add(report, "findings", findings);
    json_object_object_add(report, "exports", array);
    if (plan != NULL)
        json_object_object_add(report, "running", plan);
    header_text_print_json(report);
    json_object_put(report);
}

/* ---- the command ---- */

/* As a command line of `serve` that has nothing else. */
static char **command_line(const struct check_arguments *arguments, int *argc)
{
    char **argv = calloc(2 * arguments->config_dirs.count + 4, sizeof *argv);

    if (argv == NULL)
        return NULL;
    argv[(*argc)++] = (char *)"serve";
    argv[(*argc)++] = (char *)"--config";
    argv[(*argc)++] = (char *)arguments->config;
    for (size_t i = 0; i < arguments->config_dirs.count; i++) {
        argv[(*argc)++] = (char *)"--config-dir";
        argv[(*argc)++] = (char *)arguments->config_dirs.items[i];
    }
    return argv;
}

static const char *text_of(struct json_object *object, const char *key)
{
    struct json_object *value = NULL;

    json_object_object_get_ex(object, key, &value);
    return value != NULL ? json_object_get_string(value) : NULL;
}

static void print_plan(struct json_object *plan)
{
    struct json_object *changes = NULL;

    json_object_object_get_ex(plan, "plan", &changes);
    size_t count = changes != NULL ? json_object_array_length(changes) : 0;
    puts(count > 0 ? "a reload of the running server would change:"
                   : "a reload of the running server would change nothing");
    for (size_t i = 0; i < count; i++)
        printf("  %s\n", text_of(json_object_array_get_idx(changes, i), "text"));
}

static void print_text(const struct serve_options *options, bool opened, struct json_object *plan)
{
    if (config_problems_count(&options->files.problems) == 0)
        printf("%s: nothing is wrong: %zu %s in %zu %s%s\n", options->config, options->export_count,
               options->export_count == 1 ? "export" : "exports", options->files.file_count,
               options->files.file_count == 1 ? "file" : "files",
               opened || options->export_count == 0
                   ? ""
                   : "; images and keys were not looked at: --open does");
    if (plan != NULL)
        print_plan(plan);
}

/* `plan` NULL: the server was not asked. */
static int tell(const struct check_arguments *arguments, struct serve_options *options,
                bool readable, struct json_object **headers, struct json_object *plan)
{
    if (arguments->json) {
        print_json(options, readable, headers, json_object_get(plan));
    } else {
        config_problems_log(&options->files.problems);
        print_text(options, arguments->open, plan);
    }
    return config_problems_count(&options->files.problems) > 0;
}

/* What the server says, and whether it would refuse it, is one of the findings. */
static struct json_object *ask_server(const struct check_arguments *arguments,
                                      struct serve_options *options)
{
    struct config_place place = { 0 };
    struct json_object *plan;
    struct error err = { "" };

    if (check_running(&plan, arguments->socket, &err) == 0 && text_of(plan, "refused") == NULL)
        return plan;
    config_problem(&options->files.problems, &place, "the running server: %s",
                   plan != NULL ? text_of(plan, "refused") : err.text);
    return plan;
}

/* -EINVAL of the options as a whole is one of the findings. */
static int look(const struct check_arguments *arguments, struct serve_options *options, int argc,
                char **argv, struct error *err)
{
    int result = serve_options_parse_for_others(options, argc, argv, err);
    struct config_place place = { .file = options->config };
    struct json_object **headers, *plan = NULL;

    if (result == -ENOMEM)
        return result;
    bool readable = result == 0;
    if (!readable && config_problems_count(&options->files.problems) == 0)
        config_problem(&options->files.problems, &place, "%s", err->text);
    headers = calloc(options->export_count + 1, sizeof *headers);
    if (headers == NULL)
        return no_memory(err);
    if (readable && arguments->open)
        config_look(options, headers);
    if (readable && arguments->running)
        plan = ask_server(arguments, options);
    result = tell(arguments, options, readable, headers, plan);
    json_object_put(plan);
    for (size_t i = 0; i < options->export_count; i++)
        json_object_put(headers[i]);
    free(headers);
    return result;
}

static int check(void *context, char **operands, struct error *err)
{
    const struct check_arguments *arguments = context;

    (void)operands;
    if (arguments->socket != NULL && !arguments->running)
        return error_set(err, -EINVAL, "--socket goes with --running");
    return 0;
}

static int run(void *context, char **operands, struct error *err)
{
    const struct check_arguments *arguments = context;
    struct serve_options options = { 0 };
    int argc = 0;
    char **argv;

    (void)operands;
    if (arguments->keys) {
        print_keys();
        return 0;
    }
    argv = command_line(arguments, &argc);
    int result = argv == NULL ? no_memory(err) : look(arguments, &options, argc, argv, err);
    serve_options_free(&options);
    free(argv);
    return result;
}

const struct command command_check_config = {
    .name = "check",
    .help = "tell what is wrong with a configuration",
    .about = "Reads configuration files as `nbdcrypt serve --config` would, tells everything\n"
             "that is wrong with them, and changes nothing.  The status is 1 when something is\n"
             "wrong.",
    .operands = "",
    .params = check_params,
    .arguments_bytes = sizeof(struct check_arguments),
    .defaults = &usual,
    .check = check,
    .run = run,
};
