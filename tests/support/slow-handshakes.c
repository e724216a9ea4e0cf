/* Preloaded into a server: each calculation of a TLS handshake takes a tenth of a second more, or
 * SLOW_HANDSHAKE_S seconds, as with a key that is slow to sign with, and stderr tells when more of
 * them run at once than ever before. */
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <gnutls/gnutls.h>

static atomic_uint running, most;

int gnutls_handshake(gnutls_session_t session)
{
    /* POSIX lets data pointers be functions; ISO C has no cast for that. */
    union {
        void *symbol;
        int (*function)(gnutls_session_t session);
    } real = { dlsym(RTLD_NEXT, "gnutls_handshake") };
    unsigned now = atomic_fetch_add(&running, 1) + 1, before = atomic_load(&most);

    while (now > before && !atomic_compare_exchange_weak(&most, &before, now))
        ;
    if (now > before)
        fprintf(stderr, "handshakes at once: %u\n", now);
    const char *seconds = getenv("SLOW_HANDSHAKE_S");
    struct timespec time = { .tv_nsec = 100000000 };
    if (seconds != NULL)
        time = (struct timespec){ .tv_sec = strtol(seconds, NULL, 10) };
    nanosleep(&time, NULL);
    int result = real.function(session);
    atomic_fetch_sub(&running, 1);
    return result;
}
