#include "server/base/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static int fill_actions(posix_spawn_file_actions_t *actions, const struct spawn_files *files)
{
    int result = posix_spawn_file_actions_init(actions);

    if (result != 0)
        return result;
    for (int i = 0; i < 3 && result == 0; i++)
        if (files->fds[i] >= 0)
            result = posix_spawn_file_actions_adddup2(actions, files->fds[i], i);
    if (result == 0)
        result = posix_spawn_file_actions_addclosefrom_np(actions, 3);
    if (result != 0)
        posix_spawn_file_actions_destroy(actions);
    return result;
}

/* Default dispositions, none blocked: what this process has set up for itself is not theirs. */
static int fill_attributes(posix_spawnattr_t *attributes, bool own_group)
{
    short flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;
    sigset_t all, none;
    int result = posix_spawnattr_init(attributes);

    if (result != 0)
        return result;
    sigfillset(&all);
    sigemptyset(&none);
    result = posix_spawnattr_setsigdefault(attributes, &all);
    if (result == 0)
        result = posix_spawnattr_setsigmask(attributes, &none);
    if (result == 0 && own_group)
        result = posix_spawnattr_setpgroup(attributes, 0);
    if (result == 0)
        result = posix_spawnattr_setflags(
            attributes, (short)(own_group ? flags | POSIX_SPAWN_SETPGROUP : flags));
    if (result != 0)
        posix_spawnattr_destroy(attributes);
    return result;
}

int spawn_with(pid_t *pid, const char *program, char *const argv[], char *const environment[],
               const struct spawn_files *files, bool own_group, struct error *err)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int result = fill_actions(&actions, files);

    if (result == 0) {
        result = fill_attributes(&attributes, own_group);
        if (result == 0) {
            result = posix_spawnp(pid, program, &actions, &attributes, argv, environment);
            posix_spawnattr_destroy(&attributes);
        }
        posix_spawn_file_actions_destroy(&actions);
    }
    if (result != 0)
        return error_set(err, -result, "'%s' can't be started: %s", argv[0], strerror(result));
    return 0;
}

static bool take_files(const struct spawn_sibling_files *files)
{
    for (size_t i = 0; i < sizeof files->kept / sizeof files->kept[0]; i++)
        if (files->kept[i] >= 0 && fcntl(files->kept[i], F_SETFD, 0) < 0)
            return false;
    return (files->folder < 0 || fchdir(files->folder) == 0) &&
           dup2(files->input, STDIN_FILENO) == STDIN_FILENO;
}

/* glibc has no function for such a child. */
int spawn_sibling(pid_t *pid, char *const argv[], char *const environment[],
                  const struct spawn_sibling_files *files)
{
    int failed[2], error = 0;

    if (pipe2(failed, O_CLOEXEC) < 0)
        return -errno;
    long made = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0L, 0L, 0L, 0L);
    if (made == 0) {
        if (take_files(files))
            (void)execve("/proc/self/exe", argv, environment);
        error = errno;
        (void)!write(failed[1], &error, sizeof error);
        _exit(EXIT_FAILURE);
    }
    error = made < 0 ? errno : 0;
    close(failed[1]);
    if (made > 0) {
        *pid = (pid_t)made;
        (void)!read(failed[0], &error, sizeof error);
    }
    close(failed[0]);
    return -error;
}
