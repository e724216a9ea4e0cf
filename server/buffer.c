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
    size_t used_bytes;    /* handed out */
    struct piece *pieces; /* grows by realloc */
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
    if (pool == NULL)
        return error_set(err, -ENOMEM, "not enough memory for data buffers");
    pool->loop = loop;
    pool->piece_limit = piece_limit;
    *out = pool;
    return 0;
}

void buffer_pool_destroy(struct buffer_pool *pool)
{
    if (pool == NULL)
        return;
    assert(pool->used_bytes == 0);
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

    if (pool->piece_count >= pool->piece_limit)
        return false;
    if (size_class == BUFFER_CLASSES - 1)
        return true;
    for (unsigned i = 0; i < BUFFER_CLASSES - 1; i++)
        small += pool->class_pieces[i];
    return small < pool->piece_limit / 2;
}

static uint8_t *map_piece(void)
{
    uint8_t *base =
        mmap(NULL, PIECE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (base == MAP_FAILED)
        return NULL;
    madvise(base, PIECE_BYTES, MADV_DONTDUMP); /* plaintext of encrypted disks passes through */
    return base;
}

/* Maps one more piece and cuts it for the class. */
static bool class_grow(struct buffer_pool *pool, unsigned size_class)
{
    unsigned count = PIECE_BYTES / class_bytes(size_class);
    struct piece *pieces =
        realloc(pool->pieces, (pool->piece_count + 1) * sizeof *pool->pieces);

    if (pieces == NULL)
        return false;
    pool->pieces = pieces;
    struct buffer *buffers = calloc(count, sizeof *buffers);
    uint8_t *base = buffers != NULL ? map_piece() : NULL;
    if (base == NULL) {
        free(buffers);
        return false;
    }
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

static struct buffer *take(struct buffer_pool *pool, unsigned size_class)
{
    struct buffer *buffer = pool->free[size_class];

    if (buffer == NULL)
        return NULL;
    pool->free[size_class] = buffer->next_free;
    pool->used_bytes += buffer->capacity_bytes;
    return buffer;
}

struct buffer *buffer_acquire(struct buffer_pool *pool, uint32_t length_bytes, size_t held_bytes)
{
    assert(length_bytes <= BUFFER_BYTES_MAX);
    unsigned wanted = class_for(length_bytes);
    size_t limit_bytes = (size_t)pool->piece_limit * PIECE_BYTES;
    size_t would_hold = held_bytes + class_bytes(wanted);
    bool guaranteed = would_hold <= BUFFER_BYTES_MAX;

    if (!guaranteed && would_hold + pool->used_bytes > limit_bytes)
        return NULL;
    for (unsigned i = wanted; i < BUFFER_CLASSES; i++)
        if (pool->free[i] != NULL || (class_may_grow(pool, i) && class_grow(pool, i)))
            return take(pool, i);
    return guaranteed && class_grow(pool, wanted) ? take(pool, wanted) : NULL;
}

void buffer_release(struct buffer_pool *pool, struct buffer *buffer)
{
    buffer->next_free = pool->free[buffer->size_class];
    pool->free[buffer->size_class] = buffer;
    pool->used_bytes -= buffer->capacity_bytes;
}
