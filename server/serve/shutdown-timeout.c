/* The end that comes in any case: see shutdown-timeout.h. */
#include "server/serve/shutdown-timeout.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

/* On whichever thread: what it calls is safe in a signal handler. */
static void time_is_over(int number)
{
    static const char message[] = "nbdcrypt: ended without answers to what is in flight, for which "
                                  "--shutdown-timeout was too "
                                  "short; what was not flushed may be lost\n";

    struct pollfd out = { .fd = STDERR_FILENO, .events = POLLOUT };

    (void)number;
    /* Whoever reads it may hang. */
    if (poll(&out, 1, 0) == 1 && write(STDERR_FILENO, message, sizeof message - 1) < 0) {
        /* Nobody can be told. */
    }
    _exit(EXIT_FAILURE);
}

void shutdown_timeout_start(unsigned seconds)
{
    struct sigaction action = { .sa_handler = time_is_over };

    if (seconds == 0)
        return;
    sigemptyset(&action.sa_mask);
    sigaction(SIGALRM, &action, NULL);
    alarm(seconds);
}
