/* What all commands have in common: options, then operands; --help; the exit status.  A command is
 * a row that says what it takes, and a function that does it. */
#ifndef NBDCRYPT_COMMAND_LINE_H
#define NBDCRYPT_COMMAND_LINE_H

#include "server/base/params.h"

/* Wrong use, beside EXIT_SUCCESS and EXIT_FAILURE. */
#define EXIT_USAGE 2

/* A word of a command line that is being typed, for completion. */
struct typing {
    const struct param *param; /* whose value it is; NULL: it is an operand, behind these: */
    char **operands;
    int operand_count;
    char **words; /* all that stand between the command and it */
    int word_count;
    const char *typed;
};

struct command {
    const char *name;       /* with all of its words, "key add"; "": the program itself */
    const char *help;       /* a line in the list that it stands in; NULL: not there */
    const char *cryptsetup; /* what cryptsetup calls it: words; NULL: nothing of the kind */
    /* Those behind it, up to NULL: then all that follows is NULL.  NULL: it is none of several. */
    const struct command *const *commands;

    const char *about;    /* a paragraph of --help */
    const char *operands; /* "IMAGE FILE", "IMAGE [FILE]": words; one in brackets may be left out;
                             "": none */
    const struct param *params; /* of its arguments; the row "help" is --help */
    size_t arguments_bytes;
    const void *defaults; /* the arguments when nothing is given; NULL: zeros */
    /* What can be said without looking at anything; -EINVAL is wrong use (status 2).  May be NULL.
     * An operand that was not given is NULL. */
    int (*check)(void *arguments, char **operands, struct error *err);
    /* More than 0: it has failed, and said so. */
    int (*run)(void *arguments, char **operands, struct error *err);
    int trouble; /* the exit status where `run` fails by an error, and where 1 says something else;
                  * 0: EXIT_FAILURE */

    /* For completion, where the tables do not say enough: prints what it knows by
     * completion_offer(), and gives the name of what else can stand there, as `operands` have it;
     * NULL: nothing.  May be NULL. */
    const char *(*offer)(FILE *out, const struct typing *typing);

    /* Instead of these: it reads its command line itself.  Returns the exit status. */
    int (*run_itself)(int argc, char **argv);
    bool takes_commands; /* its operands are words of a command */
};

/* argv[0] is the last word of its name.  Says on standard error what is wrong; returns the exit
 * status. */
int command_line_run(const struct command *command, int argc, char **argv);

/* The command that these words name, as far as they name one: `program` is what they begin at.
 * *used: how many of them. */
const struct command *command_line_find(const struct command *program, int count, char **words,
                                        int *used);

/* The last word of its name: "add" of "key add". */
const char *command_line_word(const struct command *command);

/* The last step of a command that printed something: its exit status, EXIT_SUCCESS when all of it
 * has reached the one who reads it. */
int command_line_finish(void);

#endif
