#include "server/serve/captive.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/base/spawn.h"
#include "server/base/descendants.h"

static char *setting(const char *name, const char *value)
{
    size_t bytes = strlen(name) + strlen(value) + 2;
    char *text = malloc(bytes);

    if (text != NULL)
        (void)snprintf(text, bytes, "%s=%s", name, value);
    return text;
}

/* The whole environment of this process, but for `uri` and `unixsocket`, and what marks the
 * programs that plugins start. */
static size_t copy_environment(char **out)
{
    size_t count = 0;

    for (char **one = environ; *one != NULL; one++)
        if (strncmp(*one, "uri=", 4) != 0 && strncmp(*one, "unixsocket=", 11) != 0 &&
            strncmp(*one, DESCENDANTS_VARIABLE "=", sizeof DESCENDANTS_VARIABLE) != 0)
            out[count++] = *one;
    return count;
}

static int start_shell(struct spawn_held *held, const char *command, const char *uri,
                       const char *unix_path, struct error *err)
{
    char *argv[] = { (char *)(uintptr_t) "/bin/sh", (char *)(uintptr_t) "-c",
                     (char *)(uintptr_t)command, NULL };
    char *own[] = { setting("uri", uri),
                    unix_path != NULL ? setting("unixsocket", unix_path) : NULL };
    size_t count = 0;
    int result;

    while (environ[count] != NULL)
        count++;
    char **environment = calloc(count + 3, sizeof *environment);
    if (environment == NULL || own[0] == NULL || (unix_path != NULL && own[1] == NULL)) {
        result = error_no_memory(err, "for a command");
    } else {
        count = copy_environment(environment);
        environment[count++] = own[0];
        environment[count] = own[1];
        result = spawn_release(held, argv, environment, err);
    }
    free(own[0]);
    free(own[1]);
    free(environment);
    return result;
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
    captive->ended->fn(captive->ended,
                       WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

int captive_hold(struct captive *captive, struct error *err)
{
    int result = spawn_hold(&captive->held, err);

    if (result < 0)
        error_prefix(err, "--run: ");
    return result;
}

int captive_start(struct captive *captive, const char *command, const char *uri,
                  const char *unix_path, struct loop *loop, struct io_event *ended_event,
                  struct error *err)
{
    pid_t pid = captive->held.pid;
    int started = start_shell(&captive->held, command, uri, unix_path, err);

    if (started < 0) {
        error_prefix(err, "--run: ");
        return started;
    }
    int pidfd = pidfd_open(pid, 0);
    if (pidfd < 0) {
        int result = -errno;

        kill(pid, SIGTERM);
        waitpid(pid, NULL, 0);
        return error_set(err, result, "--run: the command can't be watched: %s", strerror(-result));
    }
    *captive = (struct captive){ .pid = pid, .pidfd = pidfd, .loop = loop, .ended = ended_event };
    captive->poll_event.fn = ended;
    loop_poll(loop, &captive->poll_event, pidfd, POLLIN);
    return 0;
}

void captive_stop(struct captive *captive)
{
    spawn_drop(&captive->held);
    if (captive->pid == 0)
        return;
    kill(captive->pid, SIGTERM);
    loop_cancel(captive->loop, &captive->poll_event);
    close(captive->pidfd);
    captive->pid = 0;
}
