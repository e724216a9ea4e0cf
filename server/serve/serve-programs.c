#include "server/serve/serve-programs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/argv.h"
#include "server/base/spawner-seal.h"
#include "server/base/spawner.h"
#include "server/keys/key-command.h"

#define NONE "none"
#define ANY "any"

struct rules {
    struct spawner_rule *items;
    size_t count;
};

static void free_rules(struct rules *rules)
{
    for (size_t i = 0; i < rules->count; i++)
        argv_free((char **)(uintptr_t)rules->items[i].argv);
    free(rules->items);
}

static int add(struct rules *rules, const char *text, bool any_arguments, struct error *err)
{
    void *larger = reallocarray(rules->items, rules->count + 1, sizeof *rules->items);
    char **words = NULL;

    if (larger == NULL)
        return error_no_memory(err, "for the sandbox");
    rules->items = larger;
    int result = argv_split(&words, text, err);
    if (result == 0)
        rules->items[rules->count++] = (struct spawner_rule){ words, any_arguments };
    return result;
}

/* Each a program, with blanks between. */
static int add_programs(struct rules *rules, const char *text, struct error *err)
{
    char *copy = strdup(text), *rest = copy, *word;
    int result = copy == NULL ? error_no_memory(err, "for the sandbox") : 0;

    while (result == 0 && (word = strsep(&rest, " \t")) != NULL)
        if (*word != '\0' && strcmp(word, NONE) != 0)
            result = add(rules, word, true, err);
    free(copy);
    return result;
}

/* A command that makes no sense fails when it is needed, with its sentence. */
static int gather(struct rules *rules, const struct serve_options *options, struct error *err)
{
    int result = 0;

    for (size_t i = 0; i < options->export_count; i++) {
        const char *command = options->exports[i].key.command;

        if (command != NULL)
            (void)add(rules, command, false, NULL);
    }
    for (size_t i = 0; i < options->sandbox.programs.count && result == 0; i++)
        result = add_programs(rules, options->sandbox.programs.items[i], err);
    return result;
}

static bool has_word(const struct param_list *list, const char *word)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i], word) == 0)
            return true;
    return false;
}

/* With `auto` who may add exports may bring commands, too. */
static bool any_may_come(const struct serve_options *options, bool controlled)
{
    const struct sandbox_options *sandbox = &options->sandbox;

    if (sandbox->programs.count > 0)
        return has_word(&sandbox->programs, ANY);
    return sandbox_options_mode(sandbox) == SANDBOX_AUTO && (controlled || options->config != NULL);
}

int serve_programs_seal(const struct serve_options *options, bool controlled, struct error *err)
{
    char *environment[KEY_COMMAND_ENVIRONMENT_MAX + 1];
    struct rules rules = { 0 };

    if (sandbox_options_mode(&options->sandbox) == SANDBOX_OFF || any_may_come(options, controlled))
        return 0;
    key_command_environment(environment);
    int result = gather(&rules, options, err);
    if (result == 0)
        result = spawner_seal(rules.items, rules.count, environment, err);
    free_rules(&rules);
    return result;
}

int serve_programs_check(const struct export_settings *settings, struct error *err)
{
    char **words = NULL;

    if (settings->key.command == NULL)
        return 0;
    int result = argv_split(&words, settings->key.command, err);
    if (result == 0 && !spawner_may_start(words))
        result =
            error_set(err, -EPERM,
                      "the key-command of export '%s' would not be started: the sandbox lets "
                      "only those programs be started that the options named when the server "
                      "began; restart the server, which then may start '%.200s' as well; those "
                      "that may come later are named by --sandbox-programs",
                      settings->name, words[0]);
    argv_free(words);
    return result;
}
