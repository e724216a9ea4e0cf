#include "bench/scratch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench/random.h"

#define CACHE_PAGE_BYTES 4096u

int scratch_create(struct scratch *scratch, struct error *err)
{
    struct random random = { .state = 1 };

    *scratch = (struct scratch){ .sink = aligned_alloc(CACHE_PAGE_BYTES, SCRATCH_SINK_BYTES) };
    scratch->source = aligned_alloc(CACHE_PAGE_BYTES, SCRATCH_SOURCE_BYTES);
    if (scratch->sink == NULL || scratch->source == NULL) {
        scratch_destroy(scratch);
        return error_no_memory(err, "for a thread's buffers");
    }
    for (uint32_t at = 0; at < SCRATCH_SOURCE_BYTES; at += 8) {
        uint64_t word = random_next(&random);

        memcpy(scratch->source + at, &word, sizeof word);
    }
    return 0;
}

void scratch_destroy(struct scratch *scratch)
{
    free(scratch->sink);
    free(scratch->source);
    tls_buffers_free(&scratch->tls_buffers);
    *scratch = (struct scratch){ .sink = NULL };
}

unsigned scratch_spread(struct iovec *iov, unsigned room, uint8_t *piece, uint32_t piece_bytes,
                        uint32_t *length_bytes)
{
    uint32_t left = *length_bytes;
    unsigned count = 0;

    for (; left > 0 && count < room; count++) {
        uint32_t part = left < piece_bytes ? left : piece_bytes;

        iov[count] = (struct iovec){ .iov_base = piece, .iov_len = part };
        left -= part;
    }
    *length_bytes -= left;
    return count;
}
