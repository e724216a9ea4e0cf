/* A process that waits until it is told which program it is to become. */
#include "server/base/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/base/file-io.h"

#define OWN_FD 3 /* in the process that waits */

/* What it is told: this, and then its arguments and its environment, each with its NUL. */
struct wish {
    uint32_t argument_count, environment_count, bytes;
};

/* ---- the process: one thread, and nothing of what this one does later ---- */

static char **cut(char *text, uint32_t count)
{
    char **words = calloc((size_t)count + 1, sizeof *words);

    for (uint32_t i = 0; words != NULL && i < count; i++) {
        words[i] = text;
        text += strlen(text) + 1;
    }
    return words;
}

/* Default dispositions, none blocked; what this process has forbidden itself is not the
 * program's. */
static void be_as_at_the_start(void)
{
    struct rlimit core;
    sigset_t none;

    for (int i = 1; i < NSIG; i++)
        (void)signal(i, SIG_DFL);
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (getrlimit(RLIMIT_CORE, &core) == 0) {
        core.rlim_cur = core.rlim_max;
        (void)setrlimit(RLIMIT_CORE, &core);
    }
}

static bool read_all(int fd, void *out, size_t bytes)
{
    for (size_t at = 0; at < bytes;) {
        ssize_t got = read(fd, (char *)out + at, bytes - at);

        if (got == 0 || (got < 0 && errno != EINTR))
            return false;
        if (got > 0)
            at += (size_t)got;
    }
    return true;
}

static int become(void)
{
    struct wish wish;

    if (!read_all(OWN_FD, &wish, sizeof wish))
        return 0; /* it is not needed */
    char *text = malloc((size_t)wish.bytes + 1);
    if (text == NULL || !read_all(OWN_FD, text, wish.bytes))
        return text == NULL ? ENOMEM : 0;
    char **words = cut(text, wish.argument_count + wish.environment_count);
    char **argv = calloc((size_t)wish.argument_count + 1, sizeof *argv);
    if (words == NULL || argv == NULL)
        return ENOMEM;
    memcpy(argv, words, wish.argument_count * sizeof *argv);
    execve(argv[0], argv, words + wish.argument_count);
    return errno;
}

static void wait_and_become(int fd)
{
    be_as_at_the_start();
    if (dup3(fd, OWN_FD, O_CLOEXEC) < 0 && errno != EINVAL)
        _exit(127);
    (void)close_range(OWN_FD + 1, ~0u, 0);
    int error = become();
    if (error != 0 && file_io_write(OWN_FD, &error, sizeof error) < 0)
        _exit(126); /* nobody is there to be told */
    _exit(127);
}

/* ---- who has it ---- */

int spawn_hold(struct spawn_held *held, struct error *err)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return error_set(err, -errno, "no socket for a program: %s", strerror(errno));
    pid_t pid = fork();
    if (pid == 0)
        wait_and_become(ends[1]);
    int result =
        pid < 0 ? error_set(err, -errno, "no process for a program: %s", strerror(errno)) : 0;
    close(ends[1]);
    if (result < 0)
        close(ends[0]);
    else
        *held = (struct spawn_held){ .pid = pid, .fd = ends[0] };
    return result;
}

static uint32_t add(char *out, uint32_t at, char *const *strings, uint32_t *count)
{
    for (*count = 0; strings[*count] != NULL; ++*count) {
        size_t bytes = strlen(strings[*count]) + 1;

        if (out != NULL)
            memcpy(out + at, strings[*count], bytes);
        at += (uint32_t)bytes;
    }
    return at;
}

static int tell(int fd, char *const argv[], char *const environment[])
{
    struct wish wish;
    uint32_t arguments_bytes = add(NULL, 0, argv, &wish.argument_count);

    wish.bytes = add(NULL, arguments_bytes, environment, &wish.environment_count);
    char *text = malloc((size_t)wish.bytes + 1);
    if (text == NULL)
        return -ENOMEM;
    (void)add(text, 0, argv, &wish.argument_count);
    (void)add(text, arguments_bytes, environment, &wish.environment_count);
    int result = file_io_write(fd, &wish, sizeof wish);
    if (result == 0)
        result = file_io_write(fd, text, wish.bytes);
    free(text);
    return result;
}

int spawn_release(struct spawn_held *held, char *const argv[], char *const environment[],
                  struct error *err)
{
    int result = tell(held->fd, argv, environment), error;

    if (result == 0 && read_all(held->fd, &error, sizeof error)) /* else it has closed it by exec */
        result = -error;
    if (result < 0) {
        (void)error_set(err, result, "'%s' can't be started: %s", argv[0], strerror(-result));
        spawn_drop(held);
        return result;
    }
    close(held->fd);
    *held = (struct spawn_held){ 0 };
    return 0;
}

void spawn_drop(struct spawn_held *held)
{
    if (held->pid == 0)
        return;
    close(held->fd);
    while (waitpid(held->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    *held = (struct spawn_held){ 0 };
}
