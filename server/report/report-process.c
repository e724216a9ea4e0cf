#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "server/report/report-process.h"

#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "server/report/proc-file.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

#ifndef NBDCRYPT_VENDOR
#define NBDCRYPT_VENDOR "unknown"
#endif

#define FILES_LOOKED_AT 65536u
#define RINGS_MAX 256u

/* ---- package ---- */

static void collect_package(struct report_tree *tree, struct report_node *of,
                            const struct report_look *look)
{
    struct utsname system;
    char release[256];

    report_text(tree, of, "product", "nbdcrypt");
    report_text(tree, of, "version", PACKAGE_VERSION);
    report_text(tree, of, "vendor", NBDCRYPT_VENDOR);
    if (*report_build_id() != '\0')
        report_text(tree, of, "build_id", report_build_id());
    report_text(tree, of, "compiler", __VERSION__);
    if (uname(&system) == 0) {
        report_join(release, sizeof release, system.sysname, " ", system.release, " ",
                    system.machine, NULL);
        report_text(tree, of, "kernel", release);
        report_text(tree, of, "host", system.nodename);
    }
    if (look->modules == NULL)
        return;
    /* The names of their files tell their versions. */
    struct report_node *libraries = report_list(tree, of, "libraries");
    for (size_t i = 0; i < look->modules->count; i++)
        if (strstr(look->modules->modules[i].name, ".so") != NULL)
            report_text(tree, libraries, NULL, look->modules->modules[i].name);
}

const struct report_section report_package_section = { "package", REPORT_SAFE | REPORT_BOARD,
                                                       collect_package };

/* ---- process ---- */

/* A line of /proc/self/status, as it is: "VmRSS:  4711 kB". */
static void add_bytes(struct report_tree *tree, struct report_node *of, const char *name,
                      const char *status, const char *word)
{
    uint64_t kib;

    if (proc_number(status, word, &kib))
        report_number(tree, of, name, kib * 1024);
}

static void add_number(struct report_tree *tree, struct report_node *of, const char *name,
                       const char *status, const char *word)
{
    uint64_t number;

    if (proc_number(status, word, &number))
        report_number(tree, of, name, number);
}

static void add_word(struct report_tree *tree, struct report_node *of, const char *name,
                     const char *status, const char *word)
{
    const char *at = strstr(status, word);

    if (at == NULL)
        return;
    at += strlen(word);
    at += strspn(at, " \t");
    report_text_of(tree, of, name, at, strcspn(at, "\n"));
}

static uint64_t count_files(void)
{
    struct proc_folder folder;
    uint64_t count = 0;
    int fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return 0;
    proc_folder_begin(&folder, fd);
    while (proc_folder_next(&folder) != NULL)
        count++;
    close(fd);
    return count > 0 ? count - 1 : 0;
}

/* No limit is none in the report. */
static void add_limit(struct report_tree *tree, struct report_node *of, const char *name,
                      __rlimit_resource_t resource)
{
    struct rlimit limit;

    if (getrlimit(resource, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        report_number(tree, of, name, limit.rlim_cur);
}

static uint64_t microseconds(const struct timeval *time)
{
    return (uint64_t)time->tv_sec * 1000000u + (uint64_t)time->tv_usec;
}

static void collect_process(struct report_tree *tree, struct report_node *of,
                            const struct report_look *look)
{
    char status[4096], text[512];
    struct rusage usage;

    report_number(tree, of, "pid", (uint64_t)look->pid);
    report_number(tree, of, "uid", geteuid());
    report_number(tree, of, "gid", getegid());
    if (look->board != NULL)
        report_number(tree, of, "up_seconds",
                      (look->now_ns - board_since_ns(look->board)) / 1000000000u);
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        report_number(tree, of, "user_us", microseconds(&usage.ru_utime));
        report_number(tree, of, "system_us", microseconds(&usage.ru_stime));
        report_number(tree, of, "major_faults", (uint64_t)usage.ru_majflt);
    }
    report_number(tree, of, "files", count_files());
    add_limit(tree, of, "files_max", RLIMIT_NOFILE);
    add_limit(tree, of, "locked_max_bytes", RLIMIT_MEMLOCK);
    (void)proc_read(status, sizeof status, "/proc/self/status");
    add_number(tree, of, "threads", status, "\nThreads:");
    add_word(tree, of, "capabilities", status, "\nCapEff:");
    add_number(tree, of, "no_new_privileges", status, "\nNoNewPrivs:");
    add_number(tree, of, "seccomp", status, "\nSeccomp:");
    add_word(tree, of, "cpus", status, "\nCpus_allowed_list:");
    if (proc_read(text, sizeof text, "/proc/self/cgroup") > 0)
        report_text(tree, of, "cgroup", text);
    if (proc_read(text, sizeof text, "/proc/loadavg") > 0)
        report_text(tree, of, "load", text);
}

const struct report_section report_process_section = { "process", REPORT_SAFE, collect_process };

/* ---- memory ---- */

static void collect_memory(struct report_tree *tree, struct report_node *of,
                           const struct report_look *look)
{
    char status[4096];
    uint64_t buffers_bytes = 0;

    (void)proc_read(status, sizeof status, "/proc/self/status");
    add_bytes(tree, of, "resident_bytes", status, "\nVmRSS:");
    add_bytes(tree, of, "resident_most_bytes", status, "\nVmHWM:");
    add_bytes(tree, of, "anonymous_bytes", status, "\nRssAnon:");
    add_bytes(tree, of, "locked_bytes", status, "\nVmLck:");
    add_bytes(tree, of, "pinned_bytes", status, "\nVmPin:");
    add_bytes(tree, of, "swapped_bytes", status, "\nVmSwap:");
    add_bytes(tree, of, "mapped_bytes", status, "\nVmSize:");
    for (unsigned i = 0; look->board != NULL && i < board_workers(look->board); i++) {
        struct board_worker worker;

        board_read_worker(look->board, i, &worker);
        buffers_bytes += worker.buffers_bytes;
    }
    report_number(tree, of, "buffers_in_use_bytes", buffers_bytes);
    (void)proc_read(status, sizeof status, "/proc/meminfo");
    add_bytes(tree, of, "machine_bytes", status, "MemTotal:");
    add_bytes(tree, of, "machine_available_bytes", status, "MemAvailable:");
    (void)proc_read(status, sizeof status, "/proc/pressure/memory");
    if (*status != '\0')
        report_text(tree, of, "pressure", status);
}

const struct report_section report_memory_section = { "memory", REPORT_SAFE, collect_memory };

/* ---- cgroup ---- */

/* The folder of the controller of memory: "0::/path" (version 2), or "4:memory:/path" (version 1).
 */
static bool find_cgroup(char out[PROC_PATH_BYTES * 2])
{
    struct proc_lines lines;
    bool found = false;
    const char *line;

    proc_lines_open(&lines, "/proc/self/cgroup");
    while ((line = proc_lines_next(&lines)) != NULL) {
        const char *first = strstr(line, ":memory:");
        bool is_second = strncmp(line, "0::/", 4) == 0;

        if (first != NULL)
            report_join(out, PROC_PATH_BYTES * 2, "/sys/fs/cgroup/memory", first + 8, "/", NULL);
        else if (is_second && !found)
            report_join(out, PROC_PATH_BYTES * 2, "/sys/fs/cgroup", line + 3, "/", NULL);
        found |= first != NULL || is_second;
    }
    return found;
}

/* Whether it ran out of memory: "oom_kill 1". */
static void collect_cgroup(struct report_tree *tree, struct report_node *of,
                           const struct report_look *look)
{
    static const struct {
        const char *name, *file;
    } rows[] = {
        { "memory_bytes", "memory.current" },     { "memory_bytes", "memory.usage_in_bytes" },
        { "memory_max_bytes", "memory.max" },     { "memory_max_bytes", "memory.limit_in_bytes" },
        { "memory_events", "memory.events" },     { "memory_events", "memory.oom_control" },
        { "memory_pressure", "memory.pressure" },
    };
    char folder[PROC_PATH_BYTES * 2], path[PROC_PATH_BYTES * 3], text[1024];

    (void)look;
    if (!find_cgroup(folder))
        return;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        report_join(path, sizeof path, folder, rows[i].file, NULL);
        if (proc_read(text, sizeof text, path) > 0)
            report_text(tree, of, rows[i].name, text);
    }
}

const struct report_section report_cgroup_section = { "cgroup", REPORT_SAFE | REPORT_BOARD,
                                                      collect_cgroup };

/* ---- rings ---- */

static bool is_ring(const char *name)
{
    static const char ring[] = "anon_inode:[io_uring]";
    char path[PROC_PATH_BYTES], target[64];

    report_join(path, sizeof path, "/proc/self/fd/", name, NULL);
    ssize_t length = readlink(path, target, sizeof target);
    return length == (ssize_t)strlen(ring) && memcmp(target, ring, strlen(ring)) == 0;
}

/* As the kernel tells it, which takes no lock that a thread in the ring may have. */
static void add_ring(struct report_tree *tree, struct report_node *list, const char *name)
{
    static const struct {
        const char *name, *word;
    } rows[] = {
        { "submission_head", "SqHead:" },     { "submission_tail", "SqTail:" },
        { "completion_head", "CqHead:" },     { "completion_tail", "CqTail:" },
        { "submission_mask", "SqMask:" },     { "completion_mask", "CqMask:" },
        { "registered_files", "UserFiles:" }, { "registered_memory", "UserBufs:" },
    };
    char path[PROC_PATH_BYTES], text[4096];
    struct report_node *ring = report_object(tree, list, NULL);

    report_join(path, sizeof path, "/proc/self/fdinfo/", name, NULL);
    (void)proc_read(text, sizeof text, path);
    report_text(tree, ring, "file", name);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *at = strstr(text, rows[i].word);

        if (at == NULL)
            continue;
        at += strlen(rows[i].word);
        at += strspn(at, " \t");
        report_text_of(tree, ring, rows[i].name, at, strcspn(at, "\n"));
    }
}

static void collect_rings(struct report_tree *tree, struct report_node *of,
                          const struct report_look *look)
{
    int fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct report_node *list = report_list(tree, of, "rings");
    struct proc_folder folder;
    const char *name;
    unsigned files = 0, rings = 0;

    (void)look;
    if (fd < 0)
        return;
    proc_folder_begin(&folder, fd);
    while ((name = proc_folder_next(&folder)) != NULL && files++ < FILES_LOOKED_AT &&
           rings < RINGS_MAX) {
        if (!is_ring(name))
            continue;
        add_ring(tree, list, name);
        rings++;
    }
    close(fd);
}

const struct report_section report_rings_section = { "rings", REPORT_SAFE, collect_rings };
