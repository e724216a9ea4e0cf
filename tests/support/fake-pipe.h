/* Bytes between the two ends of a fake socket. */
#ifndef NBDCRYPT_FAKE_PIPE_H
#define NBDCRYPT_FAKE_PIPE_H

#include <stddef.h>
#include <stdint.h>

/* Written at the end, read at the start; zeroed is empty.  Whoever owns it frees `data`. */
struct pipe_bytes {
    uint8_t *data;
    size_t start, end, capacity;
};

size_t pipe_count(const struct pipe_bytes *pipe);
void pipe_put(struct pipe_bytes *pipe, const void *data, size_t length_bytes);
/* At most that much; returns how much. */
size_t pipe_take(struct pipe_bytes *pipe, void *data, size_t length_bytes);

#endif
