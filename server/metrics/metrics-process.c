#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "server/metrics/metrics-server.h"

/* Of /proc/self/stat, behind the name: see proc(5). */
struct process_stat {
    unsigned long long user_ticks, system_ticks, start_ticks, virtual_bytes;
    long long resident_pages;
};

/* False: there is no /proc, or it may not be read. */
static bool read_stat(struct process_stat *out)
{
    char line[1024];
    FILE *file = fopen("/proc/self/stat", "re");
    bool got = file != NULL && fgets(line, sizeof line, file) != NULL;
    const char *behind_name = got ? strrchr(line, ')') : NULL;

    if (file != NULL)
        fclose(file);
    return behind_name != NULL &&
           sscanf(behind_name,
                  ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d "
                  "%*d %llu %llu %lld",
                  &out->user_ticks, &out->system_ticks, &out->start_ticks, &out->virtual_bytes,
                  &out->resident_pages) == 5;
}

/* 0: it can't be told. */
static uint64_t count_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    uint64_t count = 0;

    if (folder == NULL)
        return 0;
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count - 1; /* the folder's own */
}

static uint64_t boot_ns(void)
{
    struct timespec now, since;

    clock_gettime(CLOCK_REALTIME, &now);
    clock_gettime(CLOCK_BOOTTIME, &since);
    return (uint64_t)(now.tv_sec - since.tv_sec) * 1000000000u + (uint64_t)now.tv_nsec -
           (uint64_t)since.tv_nsec;
}

static void put_gauge(struct metrics_text *text, const char *name, const char *help, uint64_t value)
{
    metrics_family(text, METRICS_GAUGE, name, help);
    metrics_put(text, "%s", name);
    metrics_put_count(text, value);
}

static void put_stat(struct metrics_text *text, const struct process_stat *stat)
{
    uint64_t tick_ns = 1000000000u / (uint64_t)sysconf(_SC_CLK_TCK);

    metrics_family(text, METRICS_COUNTER, "process_cpu_seconds", "CPU time of all threads.");
    metrics_put(text, "process_cpu_seconds_total");
    metrics_put_seconds(text, (stat->user_ticks + stat->system_ticks) * tick_ns);
    put_gauge(text, "process_resident_memory_bytes", "Memory in use.",
              (uint64_t)stat->resident_pages * (uint64_t)sysconf(_SC_PAGESIZE));
    put_gauge(text, "process_virtual_memory_bytes", "Address space in use.", stat->virtual_bytes);
    metrics_family(text, METRICS_GAUGE, "process_start_time_seconds",
                   "When the process was started, in seconds since 1970.");
    metrics_put(text, "process_start_time_seconds");
    metrics_put_seconds(text, boot_ns() + stat->start_ticks * tick_ns);
}

void metrics_put_process(struct metrics_text *text)
{
    struct process_stat stat;
    struct rlimit descriptors;
    uint64_t open = count_descriptors();

    if (read_stat(&stat))
        put_stat(text, &stat);
    if (open > 0)
        put_gauge(text, "process_open_fds", "Open descriptors.", open);
    if (getrlimit(RLIMIT_NOFILE, &descriptors) == 0)
        put_gauge(text, "process_max_fds", "So many may be open.", descriptors.rlim_cur);
}
