#include "tests/support/fake-pipe.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

size_t pipe_count(const struct pipe_bytes *pipe)
{
    return pipe->end - pipe->start;
}

void pipe_put(struct pipe_bytes *pipe, const void *data, size_t length_bytes)
{
    if (length_bytes == 0)
        return;
    if (pipe->start == pipe->end)
        pipe->start = pipe->end = 0;
    if (pipe->capacity - pipe->end < length_bytes) {
        pipe->capacity = (pipe->end + length_bytes) * 2;
        pipe->data = realloc(pipe->data, pipe->capacity);
        assert(pipe->data);
    }
    memcpy(pipe->data + pipe->end, data, length_bytes);
    pipe->end += length_bytes;
}

size_t pipe_take(struct pipe_bytes *pipe, void *data, size_t length_bytes)
{
    size_t count = pipe_count(pipe) < length_bytes ? pipe_count(pipe) : length_bytes;

    if (count > 0)
        memcpy(data, pipe->data + pipe->start, count);
    pipe->start += count;
    return count;
}
