#include "server/memory-limit.h"

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

/* The least limit of a cgroup and those above it. `name` ("/a/b") is cut on the way. */
static uint64_t limit_of(const char *root, char *name, const char *file)
{
    uint64_t limit = UINT64_MAX;
    char path[PATH_MAX + 64];

    while (true) {
        snprintf(path, sizeof(path), "%s%s/%s", root, name, file);
        limit = least(limit, read_number(path));
        char *last = strrchr(name, '/');
        if (last == NULL)
            return limit;
        *last = '\0';
    }
}

/* A line of /proc/self/cgroup: "0::/a/b", or "4:memory:/a/b". */
static uint64_t limit_of_line(char *line)
{
    char *controllers = strchr(line, ':');
    char *name = controllers != NULL ? strchr(controllers + 1, ':') : NULL;

    if (name == NULL)
        return UINT64_MAX;
    *name++ = '\0';
    name[strcspn(name, "\n")] = '\0';
    controllers++;
    if (*controllers == '\0')
        return limit_of("/sys/fs/cgroup", name, "memory.max");
    if (strcmp(controllers, "memory") == 0)
        return limit_of("/sys/fs/cgroup/memory", name, "memory.limit_in_bytes");
    return UINT64_MAX;
}

static uint64_t limit_of_cgroups(void)
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    uint64_t limit = UINT64_MAX;
    char line[PATH_MAX];

    if (file == NULL)
        return UINT64_MAX;
    while (fgets(line, sizeof(line), file) != NULL)
        limit = least(limit, limit_of_line(line));
    fclose(file);
    return limit;
}

uint64_t memory_limit_bytes(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGE_SIZE);
    uint64_t limit = limit_of_cgroups();

    if (pages > 0 && page_bytes > 0)
        limit = least(limit, (uint64_t)pages * (uint64_t)page_bytes);
    return limit == UINT64_MAX ? 0 : limit;
}
