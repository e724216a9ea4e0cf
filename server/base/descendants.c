#include "server/base/descendants.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/random.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "server/base/spawner.h"

#define MARK_RANDOM_BYTES 16u
#define MARK_BYTES (sizeof DESCENDANTS_VARIABLE "=" + 2 * MARK_RANDOM_BYTES)
#define LOOK_EVERY_MS 20
#define LOOKS_BEFORE_KILL 25u
#define LOOKS 50u
#define CHUNK_BYTES 16384u

static char mark[MARK_BYTES]; /* "VARIABLE=..."; "": nobody is watched */

/* ---- finding them ---- */

/* The mark may lie across the end of a part that is read. */
static bool has_mark(int environment, const char *wanted)
{
    static char text[CHUNK_BYTES];
    size_t mark_bytes = strlen(wanted), kept = 0;
    ssize_t got;

    while ((got = read(environment, text + kept, sizeof text - kept)) > 0) {
        size_t bytes = kept + (size_t)got;

        if (memmem(text, bytes, wanted, mark_bytes) != NULL)
            return true;
        kept = bytes < mark_bytes ? bytes : mark_bytes - 1;
        memmove(text, text + bytes - kept, kept);
    }
    return false;
}

/* The descriptor stands for the process that was looked at, even if its number is another's by
 * now. */
static bool signal_one(pid_t pid, const char *wanted, int number)
{
    char path[64];
    int pidfd = pidfd_open(pid, 0);
    bool found = false;

    if (pidfd < 0)
        return false;
    snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    int environment = open(path, O_RDONLY | O_CLOEXEC);
    if (environment >= 0) {
        found = has_mark(environment, wanted) && pidfd_send_signal(pidfd, number, NULL, 0) == 0;
        close(environment);
    }
    close(pidfd);
    return found;
}

/* How many there are; 0: only counts. */
static unsigned signal_all(const char *wanted, int number)
{
    DIR *processes = opendir("/proc");
    const struct dirent *entry;
    unsigned count = 0;

    while (processes != NULL && (entry = readdir(processes)) != NULL) {
        long pid = strtol(entry->d_name, NULL, 10);

        if (pid > 1 && pid != getpid())
            count += signal_one((pid_t)pid, wanted, number);
    }
    if (processes != NULL)
        closedir(processes);
    return count;
}

/* Those that come while others go are found by the next look. */
void descendants_end_marked(const char *wanted)
{
    const struct timespec pause = { .tv_nsec = LOOK_EVERY_MS * 1000000L };

    for (unsigned look = 0; look < LOOKS; look++) {
        int number = look == 0 ? SIGTERM : look < LOOKS_BEFORE_KILL ? 0 : SIGKILL;

        if (signal_all(wanted, number) == 0)
            return;
        nanosleep(&pause, NULL);
    }
}

/* ---- being told of our end ---- */

static int make_mark(struct error *err)
{
    unsigned char random[MARK_RANDOM_BYTES];
    size_t used = sizeof DESCENDANTS_VARIABLE "=" - 1;

    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return error_set(err, -EIO, "no random numbers: %s", strerror(errno));
    memcpy(mark, DESCENDANTS_VARIABLE "=", used);
    for (size_t i = 0; i < sizeof random; i++)
        used += (size_t)snprintf(mark + used, sizeof mark - used, "%02x", random[i]);
    return 0;
}

int descendants_watch(struct error *err)
{
    if (mark[0] != '\0')
        return 0;
    int result = make_mark(err);
    if (result == 0)
        result = spawner_watch(mark, err); /* before the mark is in its environment, too */
    if (result < 0)
        error_prefix(err, "what plugins start can't be watched: ");
    if (result == 0 && setenv(DESCENDANTS_VARIABLE, strchr(mark, '=') + 1, 1) < 0)
        result = error_no_memory(err, "for the environment");
    if (result < 0)
        mark[0] = '\0';
    return result;
}

void descendants_end(void)
{
    if (mark[0] != '\0')
        descendants_end_marked(mark);
}
