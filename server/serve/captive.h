/* `serve --run COMMAND`: a shell command that the server lives for. */
#ifndef NBDCRYPT_CAPTIVE_H
#define NBDCRYPT_CAPTIVE_H

#include <sys/types.h>

#include "server/loop/loop.h"

struct captive {
    pid_t pid; /* 0: none */
    int pidfd;
    struct loop *loop;
    struct io_event poll_event;
    struct io_event *ended; /* fires with the exit status, 128 + N for signal N */
};

/* Starts `sh -c command` with $uri and, when unix_path is not NULL, $unixsocket in its environment
 * and standard signal dispositions. */
NODISCARD int captive_start(struct captive *captive, const char *command, const char *uri,
                            const char *unix_path, struct loop *loop, struct io_event *ended,
                            struct error *err);
/* The server ends first: SIGTERM to the command; its status does not matter any more. */
void captive_stop(struct captive *captive);

#endif
