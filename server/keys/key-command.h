/* Other programs, the only way to start one: an argument vector and never a shell's text, no
 * open files but the three standard ones, default signals. */
#ifndef NBDCRYPT_KEY_COMMAND_H
#define NBDCRYPT_KEY_COMMAND_H

#include <sys/types.h>

#include "crypto/secret.h"

/* A program that goes on beside this one, with this environment (ends with NULL), standard files
 * and limit of core dumps as at the start of this process.  The caller waits for *pid.  -errno
 * with a sentence. */
NODISCARD int child_start(pid_t *pid, char *const argv[], char *const environment[],
                          struct error *err);

/* Another one, `program`, that has no standard files and leads a process group of its own: what is meant for
 * this process or its terminal does not reach it. */
NODISCARD int child_start_aside(pid_t *pid, const char *program, char *const argv[],
                                char *const environment[], struct error *err);

struct child_limits {
    unsigned timeout_ms;
    size_t output_bytes_max;
    int input; /* a descriptor: its standard input; -1: it finds nothing there */
};

/* What a program prints on its standard output, to the end; blocks.
 *
 * It finds limits->input on standard input, of the environment PATH, HOME, USER, LOGNAME, LANG,
 * TMPDIR, XDG_RUNTIME_DIR and CREDENTIALS_DIRECTORY, and leads a process group of its own, which
 * is killed when its time is over or when this process is asked to end.  Fails with a sentence
 * when it can't be started, ends with another status than 0 (the sentence quotes the first line
 * of its standard error), takes too long or prints too much or nothing. */
NODISCARD int child_read_secret(struct secret **out, char *const argv[],
                                const struct child_limits *limits, struct error *err);

/* This process is about to end, on another thread than theirs: kills the groups of all whose output is
 * being read.  From then on none is started. */
void child_end_all(void);

/* For tests: stands in for the real thing when it is not NULL. */
extern int (*child_read_secret_hook)(struct secret **out, char *const argv[], struct error *err);

#endif
