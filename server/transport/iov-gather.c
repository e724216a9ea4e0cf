#include "server/transport/iov-gather.h"

#include <string.h>

const uint8_t *iov_gather_peek(const struct iov_gather *gather, size_t *length_bytes)
{
    uint8_t *together = gather->together;
    const uint8_t *first = (const uint8_t *)gather->iov->iov_base + gather->skip_bytes;
    size_t first_bytes = gather->iov->iov_len - gather->skip_bytes, used = 0;

    if (first_bytes >= GATHER_BYTES || gather->count == 1) {
        *length_bytes = first_bytes < GATHER_BYTES ? first_bytes : GATHER_BYTES;
        return first;
    }
    for (unsigned i = 0; i < gather->count && used < GATHER_BYTES; i++) {
        const uint8_t *at = i == 0 ? first : gather->iov[i].iov_base;
        size_t bytes = i == 0 ? first_bytes : gather->iov[i].iov_len;

        if (bytes > GATHER_BYTES - used)
            bytes = GATHER_BYTES - used;
        memcpy(together + used, at, bytes);
        used += bytes;
    }
    *length_bytes = used;
    return together;
}

void iov_gather_advance(struct iov_gather *gather, size_t length_bytes)
{
    gather->skip_bytes += length_bytes;
    while (gather->count > 0 && gather->skip_bytes >= gather->iov->iov_len) {
        gather->skip_bytes -= gather->iov->iov_len;
        gather->iov++;
        gather->count--;
    }
}
