/* Secrets: see secret.h. */
#include "crypto/secret.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <gnutls/gnutls.h>

/* Pages of secrets that are gone, wiped and still locked, for the next ones: each TLS session has
 * one, and to unmap a page interrupts every CPU that runs a thread of this process. */
#define SPARE_PAGES_MAX 64u
static struct {
    pthread_mutex_t mutex;
    unsigned count;
    void *pages[SPARE_PAGES_MAX];
} spare = { .mutex = PTHREAD_MUTEX_INITIALIZER };

/* Whole pages, at least one, so that locking and wiping concern nobody else's data. */
static size_t mapped_size(size_t length_bytes)
{
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);

    if (length_bytes == 0)
        return page_bytes;
    return (length_bytes + page_bytes - 1) / page_bytes * page_bytes;
}

/* A page of zeros, or NULL. */
static void *take_spare_page(void)
{
    void *page = NULL;

    pthread_mutex_lock(&spare.mutex);
    if (spare.count > 0)
        page = spare.pages[--spare.count];
    pthread_mutex_unlock(&spare.mutex);
    return page;
}

static bool keep_spare_page(void *page)
{
    pthread_mutex_lock(&spare.mutex);
    bool kept = spare.count < SPARE_PAGES_MAX;
    if (kept)
        spare.pages[spare.count++] = page;
    pthread_mutex_unlock(&spare.mutex);
    return kept;
}

static void (*unlocked)(int error);
static atomic_flag unlocked_told = ATOMIC_FLAG_INIT;

void secret_tell_unlocked(void (*tell)(int error))
{
    unlocked = tell;
}

/* RLIMIT_MEMLOCK may forbid locking; the volume must still open, and it is said.  A forked child
 * has no business with keys: DONTFORK makes a touch there a crash instead of a second copy. */
static void *map_pages(size_t mapped_bytes)
{
    void *pages = mapped_bytes == mapped_size(0) ? take_spare_page() : NULL;

    if (pages != NULL)
        return pages;
    pages = mmap(NULL, mapped_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        return NULL;
    if (mlock(pages, mapped_bytes) != 0 && unlocked != NULL &&
        !atomic_flag_test_and_set(&unlocked_told))
        unlocked(errno);
    (void)madvise(pages, mapped_bytes, MADV_DONTDUMP);
    (void)madvise(pages, mapped_bytes, MADV_DONTFORK);
    return pages;
}

int secret_create(struct secret **out, size_t length_bytes, struct error *err)
{
    struct secret *secret = calloc(1, sizeof *secret);
    void *pages = NULL;

    if (secret != NULL && length_bytes <= SIZE_MAX / 2) {
        secret->length_bytes = length_bytes;
        secret->mapped_bytes = mapped_size(length_bytes);
        pages = map_pages(secret->mapped_bytes);
    }
    if (pages == NULL) {
        free(secret);
        return error_set(err, -ENOMEM, "not enough memory for a secret of %zu bytes", length_bytes);
    }
    secret->data = pages;
    *out = secret;
    return 0;
}

int secret_copy(struct secret **out, const void *data, size_t length_bytes, struct error *err)
{
    int result = secret_create(out, length_bytes, err);

    if (result == 0 && length_bytes != 0)
        memcpy((*out)->data, data, length_bytes);
    return result;
}

void secret_truncate(struct secret *secret, size_t length_bytes)
{
    size_t kept_bytes = mapped_size(length_bytes);

    assert(length_bytes <= secret->length_bytes);
    secret_wipe(secret->data + length_bytes, secret->length_bytes - length_bytes);
    if (kept_bytes < secret->mapped_bytes) {
        (void)munmap(secret->data + kept_bytes, secret->mapped_bytes - kept_bytes);
        secret->mapped_bytes = kept_bytes;
    }
    secret->length_bytes = length_bytes;
}

void secret_free(struct secret *secret)
{
    if (secret == NULL)
        return;
    secret_wipe(secret->data, secret->mapped_bytes);
    if (secret->mapped_bytes != mapped_size(0) || !keep_spare_page(secret->data))
        (void)munmap(secret->data, secret->mapped_bytes); /* unlocks too */
    free(secret);
}

/* Lengths are no secret: they show in the time anyway. */
bool secret_equal(const struct secret *a, const struct secret *b)
{
    return a->length_bytes == b->length_bytes &&
           gnutls_memcmp(a->data, b->data, a->length_bytes) == 0;
}

void secret_wipe(void *data, size_t length_bytes)
{
    explicit_bzero(data, length_bytes);
}
