/* What can stand next on a command line, for the completion of shells (dist/completion): made from
 * the tables of commands and options. */
#ifndef NBDCRYPT_COMPLETION_H
#define NBDCRYPT_COMPLETION_H

#include "server/cli/command-line.h"

/* words[0 .. count - 1] follow the name of the program; the last one is being typed, and may be "".
 * Prints a line for each word that can stand in its place: the word, a tab, what it is for; and
 * where the name of a file can, a line ":files" or ":folders". */
void completion_print(FILE *out, const struct command *program, int count, char **words);

/* One that can stand in the place of what is typed, if it begins like that. */
void completion_offer(FILE *out, const char *word, const char *help, const char *typed);

#endif
