/* Asking a person before something is lost: see confirm.h. */
#include "server/cli/confirm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int confirm(const char *what, const char *image, const char *word, struct error *err)
{
    char line[64] = "";

    if (!isatty(STDIN_FILENO))
        return error_set(err, -ENOTTY,
                         "'%s': %s; standard input is not a terminal where that could be "
                         "confirmed: give --yes",
                         image, what);
    (void)fprintf(stderr, "'%s': %s.\nType %s to go on: ", image, what, word);
    (void)fflush(stderr);
    if (!fgets(line, sizeof line, stdin))
        line[0] = '\0';
    line[strcspn(line, "\n")] = '\0';
    if (strcmp(line, word) == 0)
        return 0;
    return error_set(err, -ECANCELED, "'%s': not confirmed; nothing was changed", image);
}
