#include "server/transport/tls-buffer.h"

#include <assert.h>
#include <stdlib.h>

#include "crypto/secret.h"

static struct tls_buffer *make(uint32_t capacity_bytes)
{
    struct tls_buffer *buffer = malloc(sizeof *buffer + capacity_bytes);

    if (buffer != NULL)
        buffer->capacity_bytes = capacity_bytes;
    return buffer;
}

static struct tls_buffer *take_large(struct tls_buffers *buffers)
{
    struct tls_buffer *buffer = buffers->kept;

    if (buffer != NULL) {
        buffers->kept = buffer->next;
        buffers->kept_count--;
        return buffer;
    }
    if (buffers->large_count == TLS_BUFFERS_LARGE_MAX)
        return NULL;
    buffer = make(TLS_BUFFER_LARGE_BYTES);
    buffers->large_count += buffer != NULL;
    return buffer;
}

struct tls_buffer *tls_buffer_acquire(struct tls_buffers *buffers, bool large)
{
    struct tls_buffer *buffer = large ? take_large(buffers) : NULL;

    if (buffer == NULL)
        buffer = make(TLS_BUFFER_SMALL_BYTES);
    if (buffer != NULL)
        buffer->start = buffer->end = 0;
    return buffer;
}

void tls_buffer_release(struct tls_buffers *buffers, struct tls_buffer *buffer)
{
    if (buffer == NULL)
        return;
    if (buffer->capacity_bytes != TLS_BUFFER_LARGE_BYTES) {
        free(buffer);
    } else if (buffers->kept_count == TLS_BUFFERS_KEPT_MAX) {
        buffers->large_count--;
        free(buffer);
    } else {
        buffer->next = buffers->kept;
        buffers->kept = buffer;
        buffers->kept_count++;
    }
}

void tls_buffers_scrub(struct tls_buffers *buffers)
{
    for (struct tls_buffer *one = buffers->kept; one != NULL; one = one->next)
        secret_wipe(one->bytes, one->capacity_bytes);
}

void tls_buffers_free(struct tls_buffers *buffers)
{
    assert(buffers->large_count == buffers->kept_count);
    while (buffers->kept != NULL) {
        struct tls_buffer *buffer = buffers->kept;

        buffers->kept = buffer->next;
        free(buffer);
    }
    buffers->kept_count = buffers->large_count = 0;
}
