#include "server/attach/nbd-device-use.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATH_BYTES 512u
#define CLAIM_MS 5000u
#define CLAIM_LOOK_MS 10
#define COMMAND_BYTES 64u
#define NODES_MAX 257u /* it and its partitions */
#define UDEV_MS 10000u
#define UDEV_LOOK_MS 50

/* The device and its partitions. */
struct nodes {
    unsigned index;
    dev_t numbers[NODES_MAX];
    size_t count;
};

/* "43:0" of a file of sysfs. */
static bool read_number(dev_t *out, const char *path)
{
    unsigned major, minor;
    FILE *file = fopen(path, "re");
    bool found = file != NULL && fscanf(file, "%u:%u", &major, &minor) == 2;

    if (file != NULL)
        (void)fclose(file);
    if (found)
        *out = makedev(major, minor);
    return found;
}

static void add_node(struct nodes *nodes, const char *path)
{
    if (nodes->count < NODES_MAX && read_number(&nodes->numbers[nodes->count], path))
        nodes->count++;
}

static void find_nodes(struct nodes *nodes)
{
    char path[PATH_BYTES], name[32];
    const struct dirent *entry;

    snprintf(path, sizeof path, "/sys/block/nbd%u/dev", nodes->index);
    add_node(nodes, path);
    snprintf(path, sizeof path, "/sys/block/nbd%u", nodes->index);
    DIR *folder = opendir(path);
    int length = snprintf(name, sizeof name, "nbd%up", nodes->index);
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        if (strncmp(entry->d_name, name, (size_t)length) != 0)
            continue;
        snprintf(path, sizeof path, "/sys/block/nbd%u/%.64s/dev", nodes->index, entry->d_name);
        add_node(nodes, path);
    }
    if (folder != NULL)
        closedir(folder);
}

static bool has_number(const struct nodes *nodes, dev_t number)
{
    for (size_t i = 0; i < nodes->count; i++)
        if (nodes->numbers[i] == number)
            return true;
    return false;
}

static bool has_path(const struct nodes *nodes, const char *path)
{
    struct stat found;

    return strncmp(path, "/dev/", 5) == 0 && stat(path, &found) == 0 && S_ISBLK(found.st_mode) &&
           has_number(nodes, found.st_rdev);
}

static int busy(const struct nodes *nodes, struct error *err, const char *why, const char *whom)
{
    return error_set(err, -EBUSY, "/dev/nbd%u is in use: %s%.400s", nodes->index, why, whom);
}

/* proc(5): number, parent, major:minor, root, mount point, ..., "-", type, source.  File systems of
 * several devices have a number of their own there. */
static int check_mounts(const struct nodes *nodes, struct error *err)
{
    FILE *file = fopen("/proc/self/mountinfo", "re");
    unsigned major, minor;
    char *line = NULL, where[PATH_BYTES], source[PATH_BYTES];
    size_t room_bytes = 0;
    int result = 0;

    while (file != NULL && result == 0 && getline(&line, &room_bytes, file) > 0) {
        const char *rest = strstr(line, " - ");

        if (sscanf(line, "%*s %*s %u:%u %*s %511s", &major, &minor, where) != 3)
            continue;
        bool ours =
            has_number(nodes, makedev(major, minor)) ||
            (rest != NULL && sscanf(rest + 3, "%*s %511s", source) == 1 && has_path(nodes, source));
        if (ours)
            result = busy(nodes, err, "it is mounted at ", where);
    }
    free(line);
    if (file != NULL)
        (void)fclose(file);
    return result;
}

static int check_swaps(const struct nodes *nodes, struct error *err)
{
    FILE *file = fopen("/proc/swaps", "re");
    char *line = NULL, path[PATH_BYTES];
    size_t room_bytes = 0;
    int result = 0;

    while (file != NULL && result == 0 && getline(&line, &room_bytes, file) > 0)
        if (sscanf(line, "%511s", path) == 1 && has_path(nodes, path))
            result = busy(nodes, err, "this machine swaps to ", path);
    free(line);
    if (file != NULL)
        (void)fclose(file);
    return result;
}

/* device-mapper, md and others that are built upon it. */
static int check_holders(const struct nodes *nodes, struct error *err)
{
    int result = 0;

    for (size_t i = 0; i < nodes->count && result == 0; i++) {
        char path[PATH_BYTES];
        const struct dirent *entry;

        snprintf(path, sizeof path, "/sys/dev/block/%u:%u/holders", major(nodes->numbers[i]),
                 minor(nodes->numbers[i]));
        DIR *folder = opendir(path);
        while (folder != NULL && result == 0 && (entry = readdir(folder)) != NULL)
            if (entry->d_name[0] != '.')
                result = busy(nodes, err, "it is part of ", entry->d_name);
        if (folder != NULL)
            closedir(folder);
    }
    return result;
}

/* A loop device has no process and claims nothing. */
static int check_loop(const struct nodes *nodes, const char *name, struct error *err)
{
    char path[PATH_BYTES], backing[PATH_BYTES] = "", whom[64];

    snprintf(path, sizeof path, "/sys/block/%.32s/loop/backing_file", name);
    FILE *file = fopen(path, "re");
    bool ours = file != NULL && fscanf(file, "%511[^\n]", backing) == 1 && has_path(nodes, backing);
    if (file != NULL)
        (void)fclose(file);
    snprintf(whom, sizeof whom, "/dev/%.32s is made of it", name);
    return ours ? busy(nodes, err, "", whom) : 0;
}

static int check_loops(const struct nodes *nodes, struct error *err)
{
    DIR *folder = opendir("/sys/block");
    const struct dirent *entry;
    int result = 0;

    while (folder != NULL && result == 0 && (entry = readdir(folder)) != NULL)
        if (strncmp(entry->d_name, "loop", 4) == 0)
            result = check_loop(nodes, entry->d_name, err);
    if (folder != NULL)
        closedir(folder);
    return result;
}

static void read_command(char command[COMMAND_BYTES], const char *pid)
{
    char path[PATH_BYTES];

    command[0] = '\0';
    snprintf(path, sizeof path, "/proc/%.16s/comm", pid);
    FILE *file = fopen(path, "re");
    if (file != NULL && fgets(command, COMMAND_BYTES, file) != NULL)
        command[strcspn(command, "\n")] = '\0';
    if (file != NULL)
        (void)fclose(file);
    for (char *at = command; *at != '\0'; at++) /* a process may call itself anything */
        if (*at < ' ' || *at > '~')
            *at = '?';
}

static void describe_process(char *out, size_t room_bytes, const char *pid)
{
    char command[COMMAND_BYTES];

    read_command(command, pid);
    snprintf(out, room_bytes, "%.16s (%s) has it open", pid, command);
}

static bool is_of_udev(const char *pid)
{
    char command[COMMAND_BYTES];

    read_command(command, pid);
    return strcmp(command, "(udev-worker)") == 0 || strcmp(command, "systemd-udevd") == 0;
}

/* Only what is below /dev is asked what it is: a file of a dead file server would not answer. */
static int check_process(const struct nodes *nodes, const char *pid, struct error *err)
{
    char path[PATH_BYTES], target[PATH_BYTES], whom[128];
    const struct dirent *entry;
    int result = 0;

    snprintf(path, sizeof path, "/proc/%.16s/fd", pid);
    DIR *folder = opendir(path);
    while (folder != NULL && result == 0 && (entry = readdir(folder)) != NULL) {
        ssize_t length = readlinkat(dirfd(folder), entry->d_name, target, sizeof target - 1);

        if (length <= 0)
            continue;
        target[length] = '\0';
        if (!has_path(nodes, target))
            continue;
        describe_process(whom, sizeof whom, pid);
        result = busy(nodes, err, "process ", whom);
        if (is_of_udev(pid))
            result = -EAGAIN;
    }
    if (folder != NULL)
        closedir(folder);
    return result;
}

static int look_at_processes(const struct nodes *nodes, struct error *err)
{
    DIR *folder = opendir("/proc");
    const struct dirent *entry;
    int result = 0;

    while (folder != NULL && result == 0 && (entry = readdir(folder)) != NULL)
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
            result = check_process(nodes, entry->d_name, err);
    if (folder != NULL)
        closedir(folder);
    return result;
}

/* udev looks at what was attached or written a moment ago, and lets go of it by itself. */
static int check_processes(const struct nodes *nodes, struct error *err)
{
    int result = look_at_processes(nodes, err);

    for (unsigned ms = 0; result == -EAGAIN && ms < UDEV_MS; ms += UDEV_LOOK_MS) {
        (void)poll(NULL, 0, UDEV_LOOK_MS);
        result = look_at_processes(nodes, err);
    }
    return result == -EAGAIN ? -EBUSY : result;
}

/* errno.  The first open reads the partitions, which takes a server: nothing ends one that waits
 * for that. */
static int claim(const char *path)
{
    int fd = open(path, O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC);
    int error = fd < 0 ? errno : 0;

    if (fd >= 0)
        close(fd);
    return error;
}

/* In a process that can be left behind.  -ETIMEDOUT: it is. */
static int claim_in_time(const char *path)
{
    pid_t pid = fork();
    pid_t ended = 0;
    int status = 0;

    if (pid == 0) {
        /* Who reads what we say until its end does not wait for this one, too. */
        (void)close_range(0, ~0u, 0);
        _exit(claim(path) == EBUSY);
    }
    if (pid < 0)
        return -errno;
    for (unsigned ms = 0; ended == 0 && ms < CLAIM_MS; ms += CLAIM_LOOK_MS) {
        (void)poll(NULL, 0, CLAIM_LOOK_MS);
        ended = waitpid(pid, &status, WNOHANG);
    }
    if (ended == pid)
        return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EBUSY;
    (void)kill(pid, SIGKILL);
    return -ETIMEDOUT;
}

/* What cannot be seen from this name space of mounts; whoever claims a device is the only one. */
static int check_claim(const struct nodes *nodes, struct error *err)
{
    char path[PATH_BYTES];

    snprintf(path, sizeof path, "/dev/nbd%u", nodes->index);
    int result = claim_in_time(path);
    if (result == -EBUSY)
        return busy(nodes, err, "somebody has claimed it, perhaps a mount of a container", "");
    return result == 0 ? 0
                       : error_set(err, result,
                                   "it can't be told whether /dev/nbd%u is in use, as it does not "
                                   "answer: is its server there?  --force detaches it all the same",
                                   nodes->index);
}

int nbd_device_use(unsigned index, struct error *err)
{
    static int (*const checks[])(const struct nodes *, struct error *) = {
        check_mounts, check_swaps, check_holders, check_loops, check_processes, check_claim,
    };
    struct nodes nodes = { .index = index };
    int result = 0;

    find_nodes(&nodes);
    for (size_t i = 0; i < sizeof checks / sizeof checks[0] && result == 0; i++)
        result = checks[i](&nodes, err);
    return result;
}
