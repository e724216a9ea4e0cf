/* lseek() as the daemon of a file system in user space may answer it, to be preloaded by tests:
 * SEEK_DATA and SEEK_HOLE give what ODD_LSEEK names.  With a number of bytes that is data and hole
 * in turn, each so long. */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

off_t lseek64(int fd, off_t offset, int whence);

static off_t seek_stripe(off_t offset, off_t end, off_t stripe, off_t odd)
{
    if (offset / stripe % 2 != odd)
        offset = (offset / stripe + 1) * stripe;
    if (offset < end)
        return offset;
    if (odd)
        return end;
    errno = ENXIO;
    return -1;
}

static off_t seek(int fd, off_t offset, int whence, const char *name)
{
    static off_t (*real)(int, off_t, int);
    const char *how = getenv("ODD_LSEEK");

    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, name);
    if (whence == SEEK_DATA || whence == SEEK_HOLE) {
        if (atoll(how) > 0)
            return seek_stripe(offset, real(fd, 0, SEEK_END), atoll(how), whence == SEEK_HOLE);
        if (strcmp(how, "back") == 0)
            return offset > 0 ? offset - 1 : 0;
        if (strcmp(how, "stay") == 0)
            return offset;
        if (strcmp(how, "data-back") == 0)
            return whence == SEEK_DATA ? 0 : offset + 512;
        if (strcmp(how, "far") == 0)
            return (off_t)1 << 62;
    }
    return real(fd, offset, whence);
}

off_t lseek(int fd, off_t offset, int whence)
{
    return seek(fd, offset, whence, "lseek");
}

off_t lseek64(int fd, off_t offset, int whence)
{
    return seek(fd, offset, whence, "lseek64");
}
