/* What all commands have in common: see command-line.h. */
#include "server/cli/command-line.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server/base/log.h"

#define OPERANDS_MAX 4
#define COMMANDS_MAX 32

int command_line_finish(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return EXIT_SUCCESS;
    log_error("standard output: %s", strerror(errno));
    return EXIT_FAILURE;
}

/* ---- one command ---- */

static int print_help(const struct command *command)
{
    printf("Usage: nbdcrypt %s [OPTIONS]%s%s\n\n%s\n\n", command->name,
           command->operands[0] != '\0' ? " " : "", command->operands, command->about);
    params_print_help(stdout, command->params);
    return command_line_finish();
}

/* The operand number `index` of "IMAGE FILE". */
static int refuse_missing(const struct command *command, int index, struct error *err)
{
    const char *name = command->operands;

    for (; index > 0 && strchr(name, ' '); index--)
        name = strchr(name, ' ') + 1;
    return error_set(err, -EINVAL, "no %.*s was given: nbdcrypt %s --help tells more",
                     (int)strcspn(name, " "), name, command->name);
}

/* Of "IMAGE [FILE]": all words, and those that must be there. */
static int operands_max(const struct command *command)
{
    int count = command->operands[0] != '\0';

    for (const char *c = command->operands; *c; c++)
        count += *c == ' ';
    return count;
}

static int operands_min(const struct command *command)
{
    const char *optional = strchr(command->operands, '[');
    int count = operands_max(command);

    for (const char *c = optional; c != NULL && *c; c++)
        count -= *c == '[';
    return count;
}

static int take_operands(char **out, const struct command *command, int count, char **operands,
                         struct error *err)
{
    if (count < operands_min(command))
        return refuse_missing(command, count, err);
    if (count > operands_max(command))
        return error_set(err, -EINVAL, "'%.80s' is one operand too many: nbdcrypt %s takes %s",
                         operands[operands_max(command)], command->name,
                         command->operands[0] != '\0' ? command->operands : "none");
    for (int i = 0; i < count; i++)
        out[i] = operands[i];
    return 0;
}

static bool wants_help(const struct command *command, const void *arguments)
{
    for (const struct param *param = command->params; param->name; param++)
        if (strcmp(param->name, "help") == 0)
            return *(const bool *)((const char *)arguments + param->offset);
    return false;
}

static int run_with(const struct command *command, void *arguments, int argc, char **argv)
{
    char *operands[OPERANDS_MAX] = { NULL };
    struct error err = { "" };
    int first = argc;
    int result = params_parse_argv(arguments, command->params, argc, argv, &first, &err);

    if (result == 0 && wants_help(command, arguments))
        return print_help(command);
    if (result == 0)
        result = take_operands(operands, command, argc - first, argv + first, &err);
    if (result == 0 && command->check != NULL)
        result = command->check(arguments, operands, &err);
    if (result < 0) {
        log_error("%s", err.text);
        return EXIT_USAGE;
    }
    result = command->run(arguments, operands, &err);
    if (result < 0)
        log_error("%s", err.text);
    if (result < 0 || command_line_finish() != EXIT_SUCCESS)
        return command->trouble != 0 ? command->trouble : EXIT_FAILURE;
    return result == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int run_one(const struct command *command, int argc, char **argv)
{
    void *arguments = calloc(1, command->arguments_bytes);
    int status;

    if (arguments == NULL) {
        log_error("not enough memory for a command");
        return EXIT_FAILURE;
    }
    if (command->defaults != NULL)
        memcpy(arguments, command->defaults, command->arguments_bytes);
    status = run_with(command, arguments, argc, argv);
    params_free(arguments, command->params);
    free(arguments);
    return status;
}

/* ---- one of several ---- */

const char *command_line_word(const struct command *command)
{
    const char *space = strrchr(command->name, ' ');

    return space != NULL ? space + 1 : command->name;
}

static const struct command *find_word(const struct command *command, const char *word)
{
    for (size_t i = 0; command->commands[i] != NULL; i++)
        if (strcmp(command_line_word(command->commands[i]), word) == 0)
            return command->commands[i];
    return NULL;
}

const struct command *command_line_find(const struct command *program, int count, char **words,
                                        int *used)
{
    const struct command *found = program;

    for (*used = 0; *used < count && found->commands != NULL; ++*used) {
        const struct command *next = find_word(found, words[*used]);

        if (next == NULL)
            break;
        found = next;
    }
    return found;
}

static int print_commands(const struct command *command)
{
    printf("Usage: nbdcrypt %s COMMAND [OPTIONS] ...\n\nCommands:\n", command->name);
    for (size_t i = 0; command->commands[i] != NULL; i++)
        printf("  %-12s%s\n", command_line_word(command->commands[i]), command->commands[i]->help);
    printf("\n  nbdcrypt %s COMMAND --help    tells what a command takes\n", command->name);
    return command_line_finish();
}

/* What was probably meant; NULL: nothing is near. */
static const char *nearest_word(const struct command *command, const char *typed)
{
    struct param names[COMMANDS_MAX + 1] = { 0 };

    for (size_t i = 0; i < COMMANDS_MAX && command->commands[i] != NULL; i++)
        names[i] = (struct param){ .name = command_line_word(command->commands[i]),
                                   .never_proposed = command->commands[i]->help == NULL };
    return params_nearest(names, typed);
}

static bool is_one_of(const char *words, const char *typed)
{
    size_t length = strlen(typed);

    for (; words != NULL && *words != '\0'; words += strcspn(words, " "), words += *words == ' ')
        if (strcspn(words, " ") == length && strncasecmp(words, typed, length) == 0)
            return true;
    return false;
}

/* The command that does here what is called `typed` there; NULL: none. */
static const struct command *find_for_cryptsetup(const struct command *command, const char *typed)
{
    const struct command *found = is_one_of(command->cryptsetup, typed) ? command : NULL;

    for (size_t i = 0; command->commands != NULL && command->commands[i] != NULL && found == NULL;
         i++)
        found = find_for_cryptsetup(command->commands[i], typed);
    return found;
}

static int unknown_command(const struct command *command, const char *typed)
{
    const char *name = command->name, *space = *name ? " " : "";
    const char *meant = nearest_word(command, typed);
    const struct command *known = find_for_cryptsetup(command, typed);

    if (known)
        log_error("there is no command '%s%s%.80s': nbdcrypt %s does that here", name, space, typed,
                  known->name);
    else if (meant)
        log_error("there is no command '%s%s%.80s': did you mean %s%s%s?", name, space, typed, name,
                  space, meant);
    else
        log_error("there is no command '%s%s%.80s': nbdcrypt%s%s --help lists them", name, space,
                  typed, *name ? " " : "", name);
    return EXIT_USAGE;
}

static int run_one_of(const struct command *command, int argc, char **argv)
{
    const char *name = command->name;

    if (argc < 2) {
        log_error("no command was given: nbdcrypt%s%s --help lists them", *name ? " " : "", name);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return print_commands(command);
    const struct command *found = find_word(command, argv[1]);
    if (found == NULL)
        return unknown_command(command, argv[1]);
    return command_line_run(found, argc - 1, argv + 1);
}

int command_line_run(const struct command *command, int argc, char **argv)
{
    if (command->commands != NULL)
        return run_one_of(command, argc, argv);
    if (command->run_itself != NULL)
        return command->run_itself(argc, argv);
    return run_one(command, argc, argv);
}
