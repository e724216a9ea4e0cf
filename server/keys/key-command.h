/* Programs that print a key. */
#ifndef NBDCRYPT_KEY_COMMAND_H
#define NBDCRYPT_KEY_COMMAND_H

#include "crypto/secret.h"

struct key_command_limits {
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
NODISCARD int key_command_read(struct secret **out, char *const argv[],
                               const struct key_command_limits *limits, struct error *err);

/* The environment that they all get: so many places at most, and NULL; strings of this process. */
#define KEY_COMMAND_ENVIRONMENT_MAX 15u
void key_command_environment(char *environment[KEY_COMMAND_ENVIRONMENT_MAX + 1]);

/* This process is about to end, on another thread than theirs: kills the groups of all whose output
 * is being read.  From then on none is started. */
void key_command_end_all(void);

#endif
