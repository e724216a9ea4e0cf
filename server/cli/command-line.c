/* What commands on one image have in common: see command-line.h. */
#include "server/cli/command-line.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/log.h"

#define EXIT_USAGE 2
#define OPERANDS_MAX 4
#define SUBCOMMANDS_MAX 16

int command_line_finish(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return EXIT_SUCCESS;
    log_error("standard output: %s", strerror(errno));
    return EXIT_FAILURE;
}

static int print_help(const struct command_line *line)
{
    printf("Usage: nbdcrypt %s [OPTIONS] %s\n\n%s\n\n", line->name, line->operands, line->about);
    params_print_help(stdout, line->params);
    return command_line_finish();
}

/* The operand number `index` of "IMAGE FILE". */
static int refuse_missing(const struct command_line *line, int index, struct error *err)
{
    const char *name = line->operands;

    for (; index > 0 && strchr(name, ' '); index--)
        name = strchr(name, ' ') + 1;
    return error_set(err, -EINVAL, "no %.*s was given: nbdcrypt %s --help tells more",
                     (int)strcspn(name, " "), name, line->name);
}

static int take_operands(char **out, const struct command_line *line, int count, char **operands,
                         struct error *err)
{
    if (count < line->operands_min)
        return refuse_missing(line, count, err);
    if (count > line->operands_max)
        return error_set(err, -EINVAL, "'%s' is one operand too many: nbdcrypt %s takes %s",
                         operands[line->operands_max], line->name, line->operands);
    for (int i = 0; i < count; i++)
        out[i] = operands[i];
    return 0;
}

int command_line_run(const struct command_line *line, void *arguments, const bool *help, int argc,
                     char **argv)
{
    char *operands[OPERANDS_MAX] = { NULL };
    struct error err = { "" };
    int first = argc;
    int result = params_parse_argv(arguments, line->params, argc, argv, &first, &err);

    if (result == 0 && *help)
        return print_help(line);
    if (result == 0)
        result = take_operands(operands, line, argc - first, argv + first, &err);
    if (result == 0 && line->check)
        result = line->check(arguments, &err);
    if (result == 0 && line->check_operands)
        result = line->check_operands(operands, &err);
    if (result < 0) {
        log_error("%s", err.text);
        return EXIT_USAGE;
    }
    result = line->run(arguments, operands, &err);
    if (result < 0) {
        log_error("%s", err.text);
        return EXIT_FAILURE;
    }
    return command_line_finish();
}

/* ---- one of several ---- */

static int print_subcommands(const char *name, const struct subcommand *table)
{
    printf("Usage: nbdcrypt %s COMMAND [OPTIONS] ...\n\nCommands:\n", name);
    for (; table->name; table++)
        printf("  %-10s%s\n", table->name, table->help);
    printf("\n  nbdcrypt %s COMMAND --help    tells what a command takes\n", name);
    return command_line_finish();
}

/* What was probably meant; NULL: nothing is near. */
static const char *nearest_subcommand(const struct subcommand *table, const char *typed)
{
    struct param names[SUBCOMMANDS_MAX + 1] = { 0 };

    for (size_t i = 0; i < SUBCOMMANDS_MAX && table[i].name; i++)
        names[i].name = table[i].name;
    return params_nearest(names, typed);
}

static int unknown_subcommand(const char *name, const struct subcommand *table, const char *typed)
{
    const char *space = *name ? " " : "", *meant = nearest_subcommand(table, typed);

    if (meant)
        log_error("there is no command '%s%s%.80s': did you mean %s%s%s?", name, space, typed, name,
                  space, meant);
    else
        log_error("there is no command '%s%s%.80s': nbdcrypt%s%s --help lists them", name, space,
                  typed, *name ? " " : "", name);
    return EXIT_USAGE;
}

int subcommand_run(const char *name, const struct subcommand *table, int argc, char **argv)
{
    if (argc < 2) {
        log_error("no command was given: nbdcrypt%s%s --help lists them", *name ? " " : "", name);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return print_subcommands(name, table);
    for (const struct subcommand *one = table; one->name; one++)
        if (strcmp(argv[1], one->name) == 0)
            return one->run(argc - 1, argv + 1);
    return unknown_subcommand(name, table, argv[1]);
}
