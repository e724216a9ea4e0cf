#include "server/buffer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PIECE_BYTES (2u * 1024u * 1024u)
#define SMALLEST_SHIFT 12u /* 4 KiB; each class is four times the one before */

struct piece {
    uint8_t *base;
    struct buffer *buffers; /* one per cut */
};

struct buffer_pool {
    struct loop *loop;
    struct buffer *free[BUFFER_CLASSES];
    size_t free_bytes; /* in the free lists and in pieces not mapped yet */
    struct piece *pieces;
    unsigned piece_count, piece_limit;
    unsigned class_pieces[BUFFER_CLASSES];
};

static uint32_t class_bytes(unsigned size_class)
{
    return 1u << (SMALLEST_SHIFT + 2 * size_class);
}

static unsigned class_for(uint32_t length_bytes)
{
    unsigned size_class = 0;

    while (class_bytes(size_class) < length_bytes)
        size_class++;
    return size_class;
}

int buffer_pool_create(struct buffer_pool **out, struct loop *loop, size_t limit_bytes,
                       struct error *err)
{
    unsigned piece_limit = (unsigned)(limit_bytes / PIECE_BYTES);
    struct buffer_pool *pool = calloc(1, sizeof *pool);

    assert(piece_limit > 0);
    if (pool != NULL)
        pool->pieces = calloc(piece_limit, sizeof *pool->pieces);
    if (pool == NULL || pool->pieces == NULL) {
        free(pool);
        return error_set(err, -ENOMEM, "not enough memory for data buffers");
    }
    pool->loop = loop;
    pool->piece_limit = piece_limit;
    pool->free_bytes = (size_t)piece_limit * PIECE_BYTES;
    *out = pool;
    return 0;
}

void buffer_pool_destroy(struct buffer_pool *pool)
{
    if (pool == NULL)
        return;
    assert(pool->free_bytes == (size_t)pool->piece_limit * PIECE_BYTES);
    for (unsigned i = 0; i < pool->piece_count; i++) {
        munmap(pool->pieces[i].base, PIECE_BYTES);
        free(pool->pieces[i].buffers);
    }
    free(pool->pieces);
    free(pool);
}

/* A piece once cut stays in its class.  The small classes together get at most half of
 * the pieces, so that large requests always find some; a small request may use a large
 * buffer, never the other way round. */
static bool class_may_grow(const struct buffer_pool *pool, unsigned size_class)
{
    unsigned small = 0;

    if (pool->piece_count == pool->piece_limit)
        return false;
    if (size_class == BUFFER_CLASSES - 1)
        return true;
    for (unsigned i = 0; i < BUFFER_CLASSES - 1; i++)
        small += pool->class_pieces[i];
    return small < pool->piece_limit / 2;
}

/* Maps one more piece and cuts it for the class. */
static bool class_grow(struct buffer_pool *pool, unsigned size_class)
{
    unsigned count = PIECE_BYTES / class_bytes(size_class);

    if (!class_may_grow(pool, size_class))
        return false;
    struct buffer *buffers = calloc(count, sizeof *buffers);
    if (buffers == NULL)
        return false;
    uint8_t *base = mmap(NULL, PIECE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) {
        free(buffers);
        return false;
    }
    /* Plaintext of encrypted disks passes through here. */
    madvise(base, PIECE_BYTES, MADV_DONTDUMP);
    int fixed_index = loop_register_memory(pool->loop, base, PIECE_BYTES);
    for (unsigned i = count; i-- > 0;) {
        buffers[i] = (struct buffer){
            .base = base + (size_t)i * class_bytes(size_class),
            .capacity_bytes = class_bytes(size_class),
            .fixed_index = (int16_t)fixed_index,
            .size_class = (uint8_t)size_class,
            .next_free = pool->free[size_class],
        };
        pool->free[size_class] = &buffers[i];
    }
    pool->pieces[pool->piece_count++] = (struct piece){ .base = base, .buffers = buffers };
    pool->class_pieces[size_class]++;
    return true;
}

struct buffer *buffer_acquire(struct buffer_pool *pool, uint32_t length_bytes, size_t held_bytes)
{
    assert(length_bytes <= BUFFER_BYTES_MAX);
    unsigned wanted = class_for(length_bytes);

    if (held_bytes + class_bytes(wanted) <= pool->free_bytes)
        for (unsigned i = wanted; i < BUFFER_CLASSES; i++) {
            struct buffer *buffer = pool->free[i];

            if (buffer == NULL && class_grow(pool, i))
                buffer = pool->free[i];
            if (buffer == NULL)
                continue;
            pool->free[i] = buffer->next_free;
            pool->free_bytes -= buffer->capacity_bytes;
            return buffer;
        }
    return NULL;
}

void buffer_release(struct buffer_pool *pool, struct buffer *buffer)
{
    buffer->next_free = pool->free[buffer->size_class];
    pool->free[buffer->size_class] = buffer;
    pool->free_bytes += buffer->capacity_bytes;
}
