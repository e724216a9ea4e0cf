#include "plugins/nbdkit/nbdkit-guard.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "plugins/nbdkit/nbdkit-host.h"
#include "server/base/log-service.h"
#include "server/base/log.h"
#include "server/report/crash.h"

static void exit_called(void)
{
    const struct nbdkit_caller *caller = nbdkit_host_caller();

    if (caller == NULL)
        return;
    log_error(
        "the nbdkit plugin '%s' ended the program in %s, which ends the server; it has to return "
        "an error instead",
        caller->name, caller->call);
    log_service_drain(1000);
    _exit(EXIT_FAILURE);
}

/* In a signal's handler nothing may be formatted. */
static void crashed(void)
{
    const struct nbdkit_caller *caller = nbdkit_host_caller();
    ssize_t written = 0;

    if (caller == NULL)
        return;
    const char *const words[] = { "nbdcrypt: the nbdkit plugin '", caller->name, "' crashed in ",
                                  caller->call, ", which ends the server\n" };
    struct iovec parts[sizeof words / sizeof words[0]];

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        parts[i] =
            (struct iovec){ .iov_base = (void *)(uintptr_t)words[i], .iov_len = strlen(words[i]) };
    written = writev(STDERR_FILENO, parts, sizeof words / sizeof words[0]);
    (void)written;
}

static void start(void)
{
    if (atexit(exit_called) != 0)
        log_warning("it would not be noticed that a plugin ends the program");
    crash_explain(crashed);
    crash_watch();
}

void nbdkit_guard_start(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, start);
}
