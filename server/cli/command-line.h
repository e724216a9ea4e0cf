/* What commands on one image have in common: options, then operands; --help; the exit status. */
#ifndef NBDCRYPT_COMMAND_LINE_H
#define NBDCRYPT_COMMAND_LINE_H

#include "server/base/params.h"

/* One command, such as "key add". */
struct command_line {
    const char *name;
    const char *about;    /* a paragraph of --help */
    const char *operands; /* "IMAGE FILE" */
    int operands_min, operands_max;
    const struct param *params;
    /* What can be said about the options alone; -EINVAL is wrong use (status 2).  May be NULL. */
    int (*check)(void *arguments, struct error *err);
    /* The same for operands that are no names of files.  May be NULL. */
    int (*check_operands)(char **operands, struct error *err);
    /* operands[0 .. operands_max - 1]; NULL for those that were not given. */
    int (*run)(void *arguments, char **operands, struct error *err);
};

/* argv[0] is the last word of the name.  `arguments` is what params describe; `help` points to the
 * flag of --help in it.  Says on standard error what is wrong; returns the exit status. */
int command_line_run(const struct command_line *line, void *arguments, const bool *help, int argc,
                     char **argv);

/* The last step of a command that printed something: its exit status, EXIT_SUCCESS when all of it
 * has reached the one who reads it. */
int command_line_finish(void);

/* "key": one of several commands behind it. */
struct subcommand {
    const char *name;
    const char *help;
    int (*run)(int argc, char **argv);
};

/* argv[1] chooses; the table ends with a name of NULL.  `name` is "" for the program itself.
 * Returns the exit status. */
int subcommand_run(const char *name, const struct subcommand *table, int argc, char **argv);

#endif
