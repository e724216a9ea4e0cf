#include "server/transport/tls-buffer.h"

#include <assert.h>
#include <stdlib.h>

#include "crypto/secret.h"

static struct tls_buffer *make(uint32_t capacity_bytes)
{
    struct tls_buffer *buffer = malloc(sizeof *buffer + capacity_bytes);

    if (buffer == NULL)
        return NULL;
    buffer->capacity_bytes = capacity_bytes;
    buffer->opened = false;
    return buffer;
}

static void wipe(struct tls_buffer *buffer)
{
    if (buffer->opened)
        secret_wipe(buffer->bytes, buffer->capacity_bytes);
    buffer->opened = false;
}

static struct tls_buffer *take_small(struct tls_buffers *buffers)
{
    struct tls_buffer *buffer = buffers != NULL ? buffers->kept_small : NULL;

    if (buffer == NULL)
        return make(TLS_BUFFER_SMALL_BYTES);
    buffers->kept_small = buffer->next;
    buffers->kept_small_count--;
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
        buffer = take_small(buffers);
    if (buffer != NULL)
        buffer->start = buffer->end = 0;
    return buffer;
}

void tls_buffer_release(struct tls_buffers *buffers, struct tls_buffer *buffer)
{
    if (buffer == NULL)
        return;
    bool large = buffer->capacity_bytes == TLS_BUFFER_LARGE_BYTES;
    bool small = buffer->capacity_bytes == TLS_BUFFER_SMALL_BYTES;
    if (buffers == NULL) {
        wipe(buffer);
        free(buffer);
    } else if (large && buffers->kept_count < TLS_BUFFERS_KEPT_MAX) {
        buffer->next = buffers->kept;
        buffers->kept = buffer;
        buffers->kept_count++;
    } else if (small && buffers->kept_small_count < TLS_BUFFERS_KEPT_MAX) {
        buffer->next = buffers->kept_small;
        buffers->kept_small = buffer;
        buffers->kept_small_count++;
    } else {
        buffers->large_count -= large;
        wipe(buffer);
        free(buffer);
    }
}

static void wipe_list(struct tls_buffer *first)
{
    for (struct tls_buffer *one = first; one != NULL; one = one->next)
        wipe(one);
}

static void free_list(struct tls_buffer *first)
{
    for (struct tls_buffer *one = first, *next; one != NULL; one = next) {
        next = one->next;
        free(one);
    }
}

void tls_buffers_scrub(struct tls_buffers *buffers)
{
    wipe_list(buffers->kept);
    wipe_list(buffers->kept_small);
    secret_wipe(buffers->together, sizeof buffers->together);
}

void tls_buffers_free(struct tls_buffers *buffers)
{
    assert(buffers->large_count == buffers->kept_count);
    tls_buffers_scrub(buffers);
    free_list(buffers->kept);
    free_list(buffers->kept_small);
    buffers->kept = buffers->kept_small = NULL;
    buffers->kept_count = buffers->kept_small_count = buffers->large_count = 0;
}
