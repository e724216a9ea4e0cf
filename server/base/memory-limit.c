#include "server/base/memory-limit.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* A number in a file; UINT64_MAX: there is none ("max"), or no file. */
static uint64_t read_number(const char *path)
{
    FILE *file = fopen(path, "re");
    unsigned long long number;
    int found;

    if (file == NULL)
        return UINT64_MAX;
    found = fscanf(file, "%llu", &number);
    fclose(file);
    return found == 1 ? number : UINT64_MAX;
}

/* What a cgroup may use, and the file that tells what it does use. */
struct limit_files {
    const char *root, *limit, *usage;
};

static uint64_t number_of(const char *root, const char *name, const char *file)
{
    char path[PATH_MAX + 64];

    snprintf(path, sizeof path, "%s%s/%s", root, name, file);
    return read_number(path);
}

/* The least limit of a cgroup and those above it, or the least that is left.  `name` ("/a/b") is
 * cut on the way. */
static uint64_t limit_of(const struct limit_files *files, char *name, bool left)
{
    uint64_t limit = UINT64_MAX;

    while (true) {
        uint64_t here = number_of(files->root, name, files->limit);
        if (left && here != UINT64_MAX) {
            uint64_t used = number_of(files->root, name, files->usage);
            here = used < here ? here - used : 0;
        }
        limit = least(limit, here);
        char *last = strrchr(name, '/');
        if (last == NULL)
            return limit;
        *last = '\0';
    }
}

/* A line of /proc/self/cgroup: "0::/a/b", or "4:memory:/a/b". */
static uint64_t limit_of_line(char *line, bool left)
{
    static const struct limit_files unified = { "/sys/fs/cgroup", "memory.max", "memory.current" };
    static const struct limit_files old = { "/sys/fs/cgroup/memory", "memory.limit_in_bytes",
                                            "memory.usage_in_bytes" };
    char *controllers = strchr(line, ':');
    char *name = controllers != NULL ? strchr(controllers + 1, ':') : NULL;

    if (name == NULL)
        return UINT64_MAX;
    *name++ = '\0';
    name[strcspn(name, "\n")] = '\0';
    controllers++;
    if (*controllers == '\0')
        return limit_of(&unified, name, left);
    if (strcmp(controllers, "memory") == 0)
        return limit_of(&old, name, left);
    return UINT64_MAX;
}

static uint64_t limit_of_cgroups(bool left)
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    uint64_t limit = UINT64_MAX;
    char line[PATH_MAX];

    if (file == NULL)
        return UINT64_MAX;
    while (fgets(line, sizeof line, file) != NULL)
        limit = least(limit, limit_of_line(line, left));
    fclose(file);
    return limit;
}

uint64_t memory_limit_bytes(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGE_SIZE);
    uint64_t limit = limit_of_cgroups(false);

    if (pages > 0 && page_bytes > 0)
        limit = least(limit, (uint64_t)pages * (uint64_t)page_bytes);
    return limit == UINT64_MAX ? 0 : limit;
}

static uint64_t available_on_machine(void)
{
    FILE *file = fopen("/proc/meminfo", "re");
    unsigned long long kib;
    uint64_t available = UINT64_MAX;
    char line[128];

    if (file == NULL)
        return UINT64_MAX;
    while (available == UINT64_MAX && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
            available = (uint64_t)kib * 1024;
    fclose(file);
    return available;
}

uint64_t memory_limit_available_bytes(void)
{
    uint64_t available = least(available_on_machine(), limit_of_cgroups(true));

    return available == UINT64_MAX ? 0 : available;
}
