/* What is freed is overwritten, and given out again only much later: who still uses it, here or in
 * a library, fails in each run of the seed, and not only now and then.  Libraries call this free(),
 * too. */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sanitized.h"

#if !defined(SIM_ADDRESS_SANITIZER) && !defined(SIM_THREAD_SANITIZER) /* they do it better */
#define QUARANTINE_BLOCKS 2048u
#define QUARANTINE_BYTES (1u << 20)
#define BLOCK_BYTES_MAX (1u << 20) /* what is larger is unmapped, and a touch of it is a crash */
#define FREED 0xa5

void __libc_free(void *block); /* of glibc */

static struct quarantined {
    void *block;
    size_t bytes;
} ring[QUARANTINE_BLOCKS];
static unsigned oldest, count;
static size_t held_bytes;

static void release_oldest(void)
{
    struct quarantined *out = &ring[oldest];

    held_bytes -= out->bytes;
    __libc_free(out->block);
    oldest = (oldest + 1) % QUARANTINE_BLOCKS;
    count--;
}

void free(void *block)
{
    size_t bytes = block != NULL ? malloc_usable_size(block) : 0;

    if (bytes == 0 || bytes > BLOCK_BYTES_MAX) {
        __libc_free(block);
        return;
    }
    memset(block, FREED, bytes);
    while (count == QUARANTINE_BLOCKS || (count > 0 && held_bytes + bytes > QUARANTINE_BYTES))
        release_oldest();
    ring[(oldest + count++) % QUARANTINE_BLOCKS] = (struct quarantined){ block, bytes };
    held_bytes += bytes;
}
#endif
