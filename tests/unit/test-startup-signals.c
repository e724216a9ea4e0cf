/* A signal that ends the program while it starts, whichever thread takes it first. */
#include "server/serve/startup-signals.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/base/log.h"
#include "server/base/signals.h"
#include "tests/support/check.h"

#define TRIES 2000

static void remove_nothing(void *context)
{
    (void)context;
}

/* It starts as the server does, up to the moment when a plugin is at work. */
static void start(int told_fd)
{
    struct early_end end;
    struct error err;
    sigset_t before;

    log_set_level(LOG_ERROR);
    EXPECT(signals_watch(&err) >= 0);
    EXPECT(startup_signals_watch(&end, remove_nothing, NULL, &err) == 0);
    signals_let_through(&before);
    EXPECT(write(told_fd, "x", 1) == 1);
    for (;;)
        pause();
}

/* The program has gone by the signal; it says so by the end of the pipe. */
static void end_one(void)
{
    int told[2], status;
    char byte;

    EXPECT(pipe(told) == 0);
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
        close(told[0]);
        start(told[1]);
    }
    close(told[1]);
    EXPECT(read(told[0], &byte, 1) == 1);
    kill(pid, SIGTERM);
    struct pollfd end = { .fd = told[0], .events = POLLIN };
    bool ended = poll(&end, 1, 20000) == 1;
    if (!ended)
        kill(pid, SIGKILL);
    EXPECT(waitpid(pid, &status, 0) == pid);
    close(told[0]);
    EXPECT(ended && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

static void ends_each_time(void)
{
    for (unsigned i = 0; i < TRIES; i++)
        end_one();
}

static const struct check checks[] = {
    { "a signal ends a start, though a thread that works for a plugin takes it first",
      ends_each_time },
};

int main(int argc, char **argv)
{
    return CHECKS_RUN(checks, argc, argv);
}
