/* Choosing a cipher's implementation: see cipher.h. */
#include "crypto/cipher/cipher.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/cipher/cipher-selftest.h"
#include "crypto/cipher/sectors-gcrypt.h"
#include "crypto/cipher/xts-gnutls.h"
#include "crypto/cipher/xts-vaes-avx2.h"
#include "crypto/cipher/xts-vaes-avx512.h"

/* Fastest first: the first that supports the cipher on this machine is taken. */
static const struct cipher_ops *const implementations[] = {
#if defined(__x86_64__)
    &xts_vaes_avx512_ops,
    &xts_vaes_avx2_ops,
#endif
    &xts_gnutls_ops,
    &sectors_gcrypt_ops,
};

#define IMPLEMENTATION_COUNT (sizeof implementations / sizeof implementations[0])

#define IV_UNIT_BYTES 512u

/* Each implementation is tested for a block cipher when it is first considered for one. */
static pthread_mutex_t tests_mutex = PTHREAD_MUTEX_INITIALIZER;
static enum { NOT_TESTED, SOUND, BROKEN } tests[IMPLEMENTATION_COUNT][CIPHER_ALGORITHMS];
static char left_out[1024]; /* under the mutex; grows, and what is there stays */

static void test_implementation(size_t i, enum cipher_algorithm algorithm)
{
    size_t used = strlen(left_out);
    struct error err = { "" };

    tests[i][algorithm] = SOUND;
    if (cipher_selftest(implementations[i], algorithm, &err) == 0)
        return;
    tests[i][algorithm] = BROKEN;
    (void)snprintf(left_out + used, sizeof left_out - used,
                   "%scipher implementation '%s' is not used, because it failed its self-test on "
                   "this machine: %.300s",
                   used > 0 ? "; " : "", implementations[i]->name, err.text);
}

/* A machine that computes wrongly would destroy data silently: better slow, or not at all. */
static bool is_sound(size_t i, enum cipher_algorithm algorithm)
{
    bool sound;

    (void)pthread_mutex_lock(&tests_mutex);
    if (tests[i][algorithm] == NOT_TESTED)
        test_implementation(i, algorithm);
    sound = tests[i][algorithm] == SOUND;
    (void)pthread_mutex_unlock(&tests_mutex);
    return sound;
}

const char *cipher_left_out(void)
{
    return left_out[0] != '\0' ? left_out : NULL;
}

const struct cipher_ops *cipher_implementation_at(size_t i)
{
    return i < IMPLEMENTATION_COUNT ? implementations[i] : NULL;
}

static bool is_usable(size_t i, const struct cipher_spec *spec)
{
    return implementations[i]->supports(spec) && is_sound(i, spec->algorithm);
}

/* "vaes-avx2, gnutls" */
static void list_usable(char *out, size_t out_bytes, const struct cipher_spec *spec)
{
    size_t used = 0;

    (void)snprintf(out, out_bytes, "none");
    for (size_t i = 0; i < IMPLEMENTATION_COUNT && used < out_bytes; i++) {
        if (is_usable(i, spec))
            used += (size_t)snprintf(out + used, out_bytes - used, "%s%s", used > 0 ? ", " : "",
                                     implementations[i]->name);
    }
}

static int choose(const struct cipher_ops **out, const struct cipher_spec *spec, struct error *err)
{
    const char *wanted = getenv("NBDCRYPT_CIPHER");
    char usable[160];

    if (wanted != NULL && wanted[0] == '\0')
        wanted = NULL;
    for (size_t i = 0; i < IMPLEMENTATION_COUNT; i++) {
        if ((wanted != NULL && strcmp(wanted, implementations[i]->name) != 0) ||
            !is_usable(i, spec))
            continue;
        *out = implementations[i];
        return 0;
    }
    list_usable(usable, sizeof usable, spec);
    if (wanted)
        return error_set(err, -ENOTSUP,
                         "NBDCRYPT_CIPHER is '%s', but what this machine has for %s with %u bits "
                         "is: %s",
                         wanted, spec->name, spec->key_bits, usable);
    return error_set(err, -ENOTSUP,
                     "no implementation of %s with %u bits works on this machine%s%s", spec->name,
                     spec->key_bits, left_out[0] != '\0' ? ": " : "", left_out);
}

int cipher_choose(const char **name, const struct cipher_spec *spec, struct error *err)
{
    const struct cipher_ops *ops;
    int result = choose(&ops, spec, err);

    if (result == 0)
        *name = ops->name;
    return result;
}

static bool sector_size_is_valid(uint32_t sector_bytes)
{
    return sector_bytes == 512 || sector_bytes == 1024 || sector_bytes == 2048 ||
           sector_bytes == 4096;
}

int cipher_create(struct cipher **out, const struct cipher_spec *spec, const struct secret *key,
                  uint32_t sector_bytes, struct error *err)
{
    const struct cipher_ops *ops;
    int result;

    assert(sector_size_is_valid(sector_bytes));
    assert(key->length_bytes == spec->key_bits / 8);

    result = choose(&ops, spec, err);
    if (result < 0)
        return result;
    result = ops->create(out, spec, key, sector_bytes, err);
    if (result == 0)
        (*out)->iv_wraps = spec->iv == CIPHER_IV_PLAIN;
    return result;
}

const char *cipher_implementation(const struct cipher *cipher)
{
    return cipher->ops->name;
}

typedef void crypt_fn(struct cipher *cipher, uint64_t iv_sector, uint8_t *data,
                      size_t length_bytes);

/* The IV `plain` has 32 bits: the run is cut before the sector whose number does not fit. */
static void crypt_wrapping(struct cipher *cipher, crypt_fn *crypt, uint64_t iv_sector,
                           uint8_t *data, size_t length_bytes)
{
    const uint64_t units = cipher->sector_bytes / IV_UNIT_BYTES;

    while (length_bytes > 0) {
        const uint64_t number = iv_sector & UINT32_MAX;
        const uint64_t sectors = (UINT32_MAX - number) / units + 1;
        size_t now = length_bytes;

        if (sectors < length_bytes / cipher->sector_bytes)
            now = (size_t)sectors * cipher->sector_bytes;
        crypt(cipher, number, data, now);
        iv_sector += now / IV_UNIT_BYTES;
        data += now;
        length_bytes -= now;
    }
}

static void crypt_run(struct cipher *cipher, crypt_fn *crypt, uint64_t iv_sector, uint8_t *data,
                      size_t length_bytes)
{
    assert(length_bytes % cipher->sector_bytes == 0);
    if (cipher->iv_wraps)
        crypt_wrapping(cipher, crypt, iv_sector, data, length_bytes);
    else
        crypt(cipher, iv_sector, data, length_bytes);
}

void cipher_encrypt(struct cipher *cipher, uint64_t iv_sector, uint8_t *data, size_t length_bytes)
{
    crypt_run(cipher, cipher->ops->encrypt, iv_sector, data, length_bytes);
}

void cipher_decrypt(struct cipher *cipher, uint64_t iv_sector, uint8_t *data, size_t length_bytes)
{
    crypt_run(cipher, cipher->ops->decrypt, iv_sector, data, length_bytes);
}

void cipher_destroy(struct cipher *cipher)
{
    if (cipher)
        cipher->ops->destroy(cipher);
}
