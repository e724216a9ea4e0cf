#include "crypto/gcm/gcm-choose.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/gcm/gcm-selftest.h"
#include "crypto/gcm/gcm-vaes.h"

/* Fastest first; NULL ends it. */
static const struct gcm_ops *const implementations[] = {
#if defined(__x86_64__)
    &gcm_vaes_avx512_ops,
    &gcm_vaes_avx2_ops,
#endif
    NULL,
};

/* Written once, before anything else reads them. */
static pthread_once_t tested = PTHREAD_ONCE_INIT;
static const struct gcm_ops *chosen;
static char left_out[512];

static bool is_wanted(const struct gcm_ops *ops)
{
    const char *wanted = getenv("NBDCRYPT_GCM");

    return wanted == NULL || wanted[0] == '\0' || strcmp(wanted, ops->name) == 0;
}

static void test_implementations(void)
{
    const char *wanted = getenv("NBDCRYPT_GCM");

    for (size_t i = 0; implementations[i] != NULL && chosen == NULL; i++) {
        struct error err = { .text = "" };

        if (!implementations[i]->supports() || !is_wanted(implementations[i]))
            continue;
        if (gcm_selftest(implementations[i], &err) == 0)
            chosen = implementations[i];
        else if (left_out[0] == '\0')
            (void)snprintf(
                left_out, sizeof left_out,
                "AES-GCM implementation '%s' is not used, because it failed its self-test on "
                "this machine: %.300s",
                implementations[i]->name, err.text);
    }
    if (chosen == NULL && left_out[0] == '\0' && wanted != NULL && wanted[0] != '\0' &&
        strcmp(wanted, "gnutls") != 0)
        (void)snprintf(
            left_out, sizeof left_out,
            "NBDCRYPT_GCM is '%.32s', which this machine does not have: GnuTLS does AES-GCM",
            wanted);
}

const struct gcm_ops *gcm_choose(void)
{
    (void)pthread_once(&tested, test_implementations);
    return chosen;
}

const char *gcm_left_out(void)
{
    (void)pthread_once(&tested, test_implementations);
    return left_out[0] != '\0' ? left_out : NULL;
}

const struct gcm_ops *gcm_implementation_at(size_t i)
{
    return i < sizeof implementations / sizeof implementations[0] ? implementations[i] : NULL;
}
