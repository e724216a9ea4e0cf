/* Starting libgcrypt: see gcrypt-library.h. */
#include "crypto/gcrypt-library.h"

#include <pthread.h>

#include <gcrypt.h>

#define LOCKED_BYTES (128u * 1024u)

/* Where libcryptsetup is built on libgcrypt it may have started it: then that holds. */
static void start(void)
{
    if (gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P))
        return;
    (void)gcry_check_version(NULL);
    /* RLIMIT_MEMLOCK may forbid locking, and the volume must still open (as in secret.c). */
    (void)gcry_control(GCRYCTL_DISABLE_SECMEM_WARN);
    (void)gcry_control(GCRYCTL_AUTO_EXPAND_SECMEM, LOCKED_BYTES);
    (void)gcry_control(GCRYCTL_INIT_SECMEM, LOCKED_BYTES, 0);
    (void)gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
}

void gcrypt_library_start(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, start);
}
