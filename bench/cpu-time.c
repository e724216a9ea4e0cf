#include "bench/cpu-time.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Fields of /proc/PID/stat that are wanted here, behind the name in parentheses. */
struct process_stat {
    pid_t parent;
    unsigned long user_ticks, system_ticks;
    long ended_user_ticks, ended_system_ticks; /* of children that were waited for */
};

static bool read_stat(struct process_stat *out, pid_t pid)
{
    char path[64], line[1024];

    (void)snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    bool got = fgets(line, sizeof line, file) != NULL;
    fclose(file);
    char *rest = got ? strrchr(line, ')') : NULL; /* a name may hold anything */
    int parent;
    if (rest == NULL ||
        sscanf(rest + 1, " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %ld %ld", &parent,
               &out->user_ticks, &out->system_ticks, &out->ended_user_ticks,
               &out->ended_system_ticks) != 5)
        return false;
    out->parent = parent;
    return true;
}

static uint64_t ns_of(const struct timespec *time)
{
    return (uint64_t)time->tv_sec * 1000000000u + (uint64_t)time->tv_nsec;
}

static uint64_t time_of(pid_t pid, const struct process_stat *stat)
{
    uint64_t ns_per_tick = 1000000000u / (uint64_t)sysconf(_SC_CLK_TCK);
    uint64_t ended = (uint64_t)stat->ended_user_ticks + (uint64_t)stat->ended_system_ticks;
    struct timespec now;
    clockid_t clock;

    if (clock_getcpuclockid(pid, &clock) == 0 && clock_gettime(clock, &now) == 0)
        return ns_of(&now) + ended * ns_per_tick;
    return (stat->user_ticks + stat->system_ticks + ended) * ns_per_tick;
}

/* ---- descendants ---- */

struct process {
    pid_t pid;
    bool counted;
    struct process_stat stat;
};

struct process_list {
    struct process *items;
    size_t count, room;
};

static bool list_add(struct process_list *list, const struct process *process)
{
    if (list->count == list->room) {
        size_t room = list->room == 0 ? 256 : 2 * list->room;
        struct process *items = reallocarray(list->items, room, sizeof *items);

        if (items == NULL)
            return false;
        list->items = items;
        list->room = room;
    }
    list->items[list->count++] = *process;
    return true;
}

static int list_all(struct process_list *list, struct error *err)
{
    DIR *directory = opendir("/proc");
    int result = 0;

    if (directory == NULL)
        return error_set(err, -errno, "/proc can't be read: %s", strerror(errno));
    for (struct dirent *entry; result == 0 && (entry = readdir(directory)) != NULL;) {
        struct process process = { .pid = (pid_t)strtol(entry->d_name, NULL, 10) };

        if (!isdigit((unsigned char)entry->d_name[0]) || !read_stat(&process.stat, process.pid))
            continue; /* no process, or one that has just ended */
        if (!list_add(list, &process))
            result = error_no_memory(err, NULL);
    }
    closedir(directory);
    return result;
}

static bool is_counted(const struct process_list *list, pid_t pid)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].pid == pid)
            return list->items[i].counted;
    }
    return false;
}

/* Those whose parents are counted, until there are no more of them. */
static uint64_t time_of_descendants(struct process_list *list)
{
    uint64_t sum_ns = 0;
    bool found;

    do {
        found = false;
        for (size_t i = 0; i < list->count; i++) {
            struct process *process = &list->items[i];

            if (process->counted || !is_counted(list, process->stat.parent))
                continue;
            process->counted = found = true;
            sum_ns += time_of(process->pid, &process->stat);
        }
    } while (found);
    return sum_ns;
}

int cpu_time_of_tree(uint64_t *out_ns, pid_t pid, struct error *err)
{
    struct process_list list = { .items = NULL };
    int result = list_all(&list, err);

    for (size_t i = 0; i < list.count && result == 0; i++) {
        if (list.items[i].pid != pid)
            continue;
        list.items[i].counted = true;
        *out_ns = time_of(pid, &list.items[i].stat) + time_of_descendants(&list);
        free(list.items);
        return 0;
    }
    free(list.items);
    if (result == 0)
        result = error_set(err, -ESRCH, "there is no process %ld", (long)pid);
    return result;
}

uint64_t cpu_time_own(void)
{
    struct timespec now;

    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now) != 0)
        return 0;
    return ns_of(&now);
}
