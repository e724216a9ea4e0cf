#include "server/base/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#define FIRST_CLIENT_DESCRIPTORS 4u
#define LOW_FIRST 3
#define LOW_END 10 /* a shell takes one figure: "sh: 1: Syntax error: Bad fd number" */
#define LOW_NEEDS 64u

static unsigned low_kept; /* a bit for each */

static int explain(int result, unsigned count, struct error *err)
{
    struct rlimit limit;

    if (result == -EMFILE && getrlimit(RLIMIT_NOFILE, &limit) == 0)
        return error_set(
            err, result,
            "too few descriptors: %u more are needed, and this process may have %llu in all", count,
            (unsigned long long)limit.rlim_cur);
    return error_set(err, result, "too few descriptors: %u more are needed: %s", count,
                     strerror(-result));
}

/* Held all at once, by recursion: no memory has to be there for them. */
static int open_all(unsigned count)
{
    if (count == 0)
        return 0;
    int fd = eventfd(0, EFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    int result = open_all(count - 1);
    (void)close(fd);
    return result;
}

int descriptors_require(unsigned count, struct error *err)
{
    int result = open_all(count);

    return result < 0 ? explain(result, count, err) : 0;
}

int descriptors_require_client(unsigned listeners, struct error *err)
{
    int result = descriptors_require(listeners + FIRST_CLIENT_DESCRIPTORS, err);

    if (result < 0)
        error_prefix(err, "there is no room for a client: ");
    return result;
}

void descriptors_raise_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

void descriptors_keep_low(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < LOW_NEEDS)
        return;
    for (int fd = LOW_FIRST; fd < LOW_END; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            continue;
        int kept = open("/dev/null", O_PATH | O_CLOEXEC); /* the lowest free one */

        if (kept == fd)
            low_kept |= 1u << fd;
        else if (kept >= 0)
            (void)close(kept);
    }
}

void descriptors_give_low(void)
{
    for (int fd = LOW_FIRST; fd < LOW_END; fd++)
        if ((low_kept & 1u << fd) != 0)
            (void)close(fd);
    low_kept = 0;
}
