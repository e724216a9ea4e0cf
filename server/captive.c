#include "server/captive.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void exec_shell(const char *command, const char *uri, const char *unix_path)
{
    struct rlimit core;
    sigset_t none;

    /* What this process forbids itself is not the command's. */
    if (getrlimit(RLIMIT_CORE, &core) == 0) {
        core.rlim_cur = core.rlim_max;
        setrlimit(RLIMIT_CORE, &core);
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    setenv("uri", uri, 1);
    if (unix_path != NULL)
        setenv("unixsocket", unix_path, 1);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
}

static void ended(struct io_event *ev, int result)
{
    struct captive *captive = container_of(ev, struct captive, poll_event);
    int status = 0;

    (void)result;
    if (captive->pid == 0)
        return;
    while (waitpid(captive->pid, &status, 0) < 0 && errno == EINTR)
        ;
    close(captive->pidfd);
    captive->pid = 0;
    captive->ended->fn(captive->ended, WIFEXITED(status) ? WEXITSTATUS(status)
                                                         : 128 + WTERMSIG(status));
}

int captive_start(struct captive *captive, const char *command, const char *uri,
                  const char *unix_path, struct loop *loop, struct io_event *ended_event,
                  struct error *err)
{
    pid_t pid = fork();

    if (pid == 0)
        exec_shell(command, uri, unix_path);
    if (pid < 0)
        return error_set(err, -errno, "--run: the command could not be started: %s",
                         strerror(errno));
    int pidfd = pidfd_open(pid, 0);
    if (pidfd < 0) {
        int code = -errno;

        kill(pid, SIGTERM);
        waitpid(pid, NULL, 0);
        return error_set(err, code, "--run: the command can't be watched: %s", strerror(-code));
    }
    *captive = (struct captive){ .pid = pid, .pidfd = pidfd, .loop = loop, .ended = ended_event };
    captive->poll_event.fn = ended;
    loop_poll(loop, &captive->poll_event, pidfd, POLLIN);
    return 0;
}

void captive_stop(struct captive *captive)
{
    if (captive->pid == 0)
        return;
    kill(captive->pid, SIGTERM);
    loop_cancel(captive->loop, &captive->poll_event);
    close(captive->pidfd);
    captive->pid = 0;
}
