/* Opening a keyslot asks OpenSSL for the same hash some thousand times, by name, and each time for
 * memory: most of the time of a simulation.  Here the name is looked up once, and that memory goes
 * past memory.c.  Where libcryptsetup has another library none of this is called. */
#include <dlfcn.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sanitized.h"

#define HASHES_MAX 8u

typedef void *fetch_fn(void *context, const char *name, const char *properties);
typedef void free_fn(void *hash);
typedef int set_memory_fn(void *(*alloc)(size_t, const char *, int),
                          void *(*resize)(void *, size_t, const char *, int),
                          void (*release)(void *, const char *, int));

void *EVP_MD_fetch(void *context, const char *name, const char *properties);
void EVP_MD_free(void *hash);
void __libc_free(void *block); /* of glibc */

static struct {
    char name[16];
    void *context, *hash;
} hashes[HASHES_MAX];

static unsigned hash_count;

static void *next_of(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

void *EVP_MD_fetch(void *context, const char *name, const char *properties)
{
    static fetch_fn *fetch;
    void *symbol;

    for (unsigned i = 0; i < hash_count && properties == NULL; i++)
        if (hashes[i].context == context && strcmp(hashes[i].name, name) == 0)
            return hashes[i].hash;
    if (fetch == NULL && (symbol = next_of("EVP_MD_fetch")) != NULL)
        memcpy(&fetch, &symbol, sizeof(fetch));
    void *hash = fetch != NULL ? fetch(context, name, properties) : NULL;
    if (hash != NULL && properties == NULL && hash_count < HASHES_MAX &&
        strlen(name) < sizeof(hashes[0].name)) {
        memcpy(hashes[hash_count].name, name, strlen(name) + 1);
        hashes[hash_count].context = context;
        hashes[hash_count++].hash = hash;
    }
    return hash;
}

/* Those that are kept stay. */
void EVP_MD_free(void *hash)
{
    static free_fn *release;
    void *symbol;

    for (unsigned i = 0; i < hash_count; i++)
        if (hashes[i].hash == hash)
            return;
    if (release == NULL && (symbol = next_of("EVP_MD_free")) != NULL)
        memcpy(&release, &symbol, sizeof(release));
    if (release != NULL)
        release(hash);
}

static void *allocate(size_t bytes, const char *file, int line)
{
    (void)file;
    (void)line;
    return malloc(bytes);
}

static void *resize(void *block, size_t bytes, const char *file, int line)
{
    (void)file;
    (void)line;
    return realloc(block, bytes);
}

static void release_block(void *block, const char *file, int line)
{
    (void)file;
    (void)line;
#if defined(SIM_ADDRESS_SANITIZER) || defined(SIM_THREAD_SANITIZER)
    free(block);
#else
    __libc_free(block);
#endif
}

/* Before OpenSSL has asked for any. */
__attribute__((constructor)) static void set_memory(void)
{
    void *symbol = dlsym(RTLD_DEFAULT, "CRYPTO_set_mem_functions");
    set_memory_fn *set;

    memcpy(&set, &symbol, sizeof(set));
    if (set != NULL)
        (void)set(allocate, resize, release_block);
}
