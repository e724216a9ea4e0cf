/* To be preloaded: while the file $SLOW_RESOLVER exists, looking up a name takes a minute, as with
 * a name server that does not answer. */
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **result)
{
    static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    const char *file = getenv("SLOW_RESOLVER");

    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    if (file != NULL && access(file, F_OK) == 0) {
        dprintf(STDERR_FILENO, "slow-resolver: looking up %s\n", node != NULL ? node : "nothing");
        sleep(60);
    }
    return real(node, service, hints, result);
}
