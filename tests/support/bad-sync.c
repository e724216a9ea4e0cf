/* To be preloaded: storage of one file that can't be made durable, or that does not answer.
 *
 * BAD_SYNC names the file.  While BAD_SYNC.fails is there, fdatasync() of it fails, and as with a
 * disk only once for what was written before; while BAD_SYNC.hangs is there, it does not come back.
 */
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_there(const char *name, const char *ending)
{
    char path[PATH_MAX];

    snprintf(path, sizeof path, "%s%s", name, ending);
    return access(path, F_OK) == 0;
}

int fdatasync(int fd)
{
    const char *name = getenv("BAD_SYNC");
    struct stat named, ours;
    int (*real)(int);

    *(void **)&real = dlsym(RTLD_NEXT, "fdatasync");
    if (name == NULL || stat(name, &named) != 0 || fstat(fd, &ours) != 0 ||
        named.st_dev != ours.st_dev || named.st_ino != ours.st_ino)
        return real(fd);
    while (is_there(name, ".hangs"))
        usleep(10000);
    if (!is_there(name, ".fails"))
        return real(fd);
    errno = EIO;
    return -1;
}
