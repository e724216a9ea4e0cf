/* To be preloaded: storage on which no open-file-description lock can be had; $NO_LOCKS is the
 * errno. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>

int fcntl64(int fd, int command, ...);

static int call(const char *name, int fd, int command, void *argument)
{
    int (*real)(int, int, ...);
    const char *number = getenv("NO_LOCKS");

    if (number != NULL && (command == F_OFD_SETLK || command == F_OFD_GETLK)) {
        errno = (int)strtol(number, NULL, 10);
        return -1;
    }
    *(void **)&real = dlsym(RTLD_NEXT, name);
    return real(fd, command, argument);
}

#define REPLACE(name)                              \
    int name(int fd, int command, ...)             \
    {                                              \
        va_list rest;                              \
                                                   \
        va_start(rest, command);                   \
        void *argument = va_arg(rest, void *);     \
        va_end(rest);                              \
        return call(#name, fd, command, argument); \
    }

#undef fcntl
REPLACE(fcntl64)
#ifndef __USE_FILE_OFFSET64
REPLACE(fcntl)
#endif
