/* Other programs, the only way to start one: an argument vector and never a shell's text, no open
 * files but the three standard ones, default signals.  The caller waits for *pid.  All return
 * -errno with a sentence. */
#ifndef NBDCRYPT_SPAWN_H
#define NBDCRYPT_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

#include "server/base/error.h"

/* A program that goes on beside this one, with standard files and limit of core dumps as at the
 * start of this process, and which is not known yet.  Its process is made before this one takes
 * rights from itself, and before there are threads and secrets; it waits, and ends when we do. */
struct spawn_held {
    pid_t pid; /* 0: none */
    int fd;
};

NODISCARD int spawn_hold(struct spawn_held *held, struct error *err);
/* It becomes that program, with this environment; both end with NULL.  When that fails it has
 * ended.  After this it is only a process, of the caller. */
NODISCARD int spawn_release(struct spawn_held *held, char *const argv[], char *const environment[],
                            struct error *err);
/* One that is not needed ends; one that there never was, or was released, is fine. */
void spawn_drop(struct spawn_held *held);

/* What is to become of its standard files: -1 leaves one as it is. */
struct spawn_files {
    int fds[3];
};

/* The whole choice; `own_group`: it leads a process group of its own, so that what is meant for
 * this process or its terminal does not reach it. */
NODISCARD int spawn_with(pid_t *pid, const char *program, char *const argv[],
                         char *const environment[], const struct spawn_files *files, bool own_group,
                         struct error *err);

/* What it begins with: -1 leaves one out. */
struct spawn_sibling_files {
    int input;   /* becomes its standard input */
    int folder;  /* where it works; else as we are */
    int kept[2]; /* stay open, under their numbers */
};
/* This program once more, as a child of our own parent, who waits for it.  Other files that are not
 * to stay open are close-on-exec, for a process with one thread.  -errno; *pid is set where there
 * was a process, also of one that could not become it and has ended. */
NODISCARD int spawn_sibling(pid_t *pid, char *const argv[], char *const environment[],
                            const struct spawn_sibling_files *files);

#endif
