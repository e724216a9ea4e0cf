/* What is wrong with a configuration: all of it, each with its place, so that one reading tells
 * everything that has to be mended. */
#ifndef NBDCRYPT_CONFIG_PROBLEMS_H
#define NBDCRYPT_CONFIG_PROBLEMS_H

#include <stddef.h>
#include <stdio.h>

#include "server/base/error.h"

#define CONFIG_PROBLEMS_MAX 1000u /* more are counted only */

struct config_place {
    const char *file; /* as it was found; not owned; NULL: the command line */
    unsigned line;    /* from 1; 0: the file as a whole */
    size_t order;     /* of the file among the others, as they were read; 0: the command line */
};

struct config_problem {
    struct config_place place;
    char *text; /* a sentence without the place, in clean UTF-8 */
};

struct config_problems {
    struct config_problem *items; /* in the order in which they were found */
    size_t count;
    size_t more; /* that were not kept: too many, or no memory */
};

/* Notes one. */
void config_problem(struct config_problems *problems, const struct config_place *place,
                    const char *format, ...) __attribute__((format(printf, 3, 4)));

static inline size_t config_problems_count(const struct config_problems *problems)
{
    return problems->count + problems->more;
}

/* By file and line. */
void config_problems_sort(struct config_problems *problems);

/* One line of the log for each: FILE:LINE: TEXT. */
void config_problems_log(const struct config_problems *problems);

void config_problems_free(struct config_problems *problems);

#endif
