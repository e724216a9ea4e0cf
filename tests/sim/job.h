/* A command of nbdcrypt on the volume (key ..., header ..., erase), as a process of its own that
 * may be killed or cut off at one of its writes. */
#ifndef NBDCRYPT_SIM_JOB_H
#define NBDCRYPT_SIM_JOB_H

#include <stdbool.h>

#include "server/cli/command-line.h"

#define JOB_WORDS_MAX 32u

/* A command as its words, which begin with the last one of its name. */
struct job_words {
    const struct command *program;
    const char *words[JOB_WORDS_MAX];
    unsigned count;
    const char *operand; /* behind IMAGE; NULL: none */
};

struct job_words job_words_of(const struct command *program, const char *const *words);
struct job_words job_with_operand(struct job_words words, const char *operand);

#define JOB_WORDS(program, ...) job_words_of(program, (const char *const[]){ __VA_ARGS__, NULL })

/* The next ones that may be killed are cut off when so many of their writes are done (0: they are
 * not), of those to the header itself or also to keyslots, by a kill or by `power_cut`. */
void job_cut_off_at(unsigned writes, bool in_header, void (*power_cut)(void));
/* Its exit status; -1: it was killed. */
int job_run(struct job_words words, bool killable);
/* The one that is at work dies, as with the power; how far it came is not known. */
void job_kill(void);

#endif
