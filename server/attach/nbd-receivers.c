#include "server/attach/nbd-receivers.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_BYTES 256u
#define NAME_BYTES 32u
#define LOOK_MS 20u
/* A busy kernel has made its threads by then. */
#define WAIT_MS 2000u
#define KTHREADD_PID 2l /* the parent of all threads of the kernel, and of nothing else */

struct receivers {
    bool seen; /* threads of the kernel */
    unsigned working;
};

static bool ends_with(const char *text, size_t text_bytes, const char *end)
{
    size_t end_bytes = strlen(end);

    return text_bytes >= end_bytes && memcmp(text + text_bytes - end_bytes, end, end_bytes) == 0;
}

/* "PID (NAME) STATE PARENT ...".  A worker's name ends with that of its work, after a plus while it
 * does it. */
enum nbd_receiver nbd_receivers_parse(const char *line, unsigned index)
{
    const char *name = strchr(line, '('), *end = strrchr(line, ')');
    char work[NAME_BYTES];

    if (name == NULL || end == NULL || strlen(end) < 4 || strtol(end + 4, NULL, 10) != KTHREADD_PID)
        return NBD_RECEIVER_NO_THREAD;
    snprintf(work, sizeof work, "+nbd%u-recv", index);
    return ends_with(name, (size_t)(end - name), work) ? NBD_RECEIVER_WORKS : NBD_RECEIVER_OTHER;
}

static void look_at(struct receivers *receivers, int proc, const char *pid, unsigned index)
{
    char path[NAME_BYTES], line[LINE_BYTES];

    if (snprintf(path, sizeof path, "%s/stat", pid) >= (int)sizeof path)
        return;
    int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return; /* it has ended meanwhile */
    ssize_t length = read(fd, line, sizeof line - 1);
    close(fd);
    line[length > 0 ? length : 0] = '\0';
    enum nbd_receiver receiver = nbd_receivers_parse(line, index);
    receivers->seen |= receiver != NBD_RECEIVER_NO_THREAD;
    receivers->working += receiver == NBD_RECEIVER_WORKS;
}

static struct receivers look(unsigned index)
{
    struct receivers receivers = { .working = 0 };
    DIR *folder = opendir("/proc");
    const struct dirent *entry;

    if (folder == NULL)
        return receivers;
    while ((entry = readdir(folder)) != NULL)
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
            look_at(&receivers, dirfd(folder), entry->d_name, index);
    closedir(folder);
    return receivers;
}

bool nbd_receivers_await(unsigned index, unsigned count)
{
    for (unsigned ms = 0;; ms += LOOK_MS) {
        struct receivers receivers = look(index);

        if (!receivers.seen || receivers.working >= count)
            return true;
        if (ms >= WAIT_MS)
            return receivers.working == 0; /* this kernel has other names */
        (void)poll(NULL, 0, LOOK_MS);
    }
}
