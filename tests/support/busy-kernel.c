/* To be preloaded: who looks for threads of the kernel waits, and has made the file HELD.waits,
 * until the file HELD is removed.  From then on he sees the threads that are there. */
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOOK_US 10000

static void wait_until_let_go(const char *held)
{
    char waits[256];

    snprintf(waits, sizeof waits, "%s.waits", held);
    close(open(waits, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    while (access(held, F_OK) == 0)
        usleep(LOOK_US);
}

DIR *opendir(const char *name)
{
    static DIR *(*real)(const char *);
    const char *held = getenv("HELD");

    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "opendir");
    if (held != NULL && strcmp(name, "/proc") == 0 && access(held, F_OK) == 0)
        wait_until_let_go(held);
    return real(name);
}
