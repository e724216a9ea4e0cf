/* `serve --run COMMAND`: a shell command that the server lives for. */
#ifndef NBDCRYPT_CAPTIVE_H
#define NBDCRYPT_CAPTIVE_H

#include <sys/types.h>

#include "server/base/spawn.h"
#include "server/loop/loop.h"

struct captive {
    struct spawn_held held; /* before it starts */
    pid_t pid;              /* 0: none */
    int pidfd;
    struct loop *loop;
    struct io_event poll_event;
    struct io_event *ended; /* fires with the exit status, 128 + N for signal N */
};

/* Makes a process for it; before this one has threads and takes rights from itself. */
NODISCARD int captive_hold(struct captive *captive, struct error *err);
/* Starts `sh -c command` there, with $uri and, when unix_path is not NULL, $unixsocket in its
 * environment and standard signal dispositions. */
NODISCARD int captive_start(struct captive *captive, const char *command, const char *uri,
                            const char *unix_path, struct loop *loop, struct io_event *ended,
                            struct error *err);
/* The server ends first: SIGTERM to the command; its status does not matter any more.  What has not
 * started does not start. */
void captive_stop(struct captive *captive);

#endif
