#include "server/loop/buffer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "crypto/secret.h"
#include "server/base/probe.h"

#define SMALLEST_SHIFT 12u /* 4 KiB; each class is four times the one before */
#define TRIM_MS \
    5000u /* a piece goes back to the kernel when it was not used for one to two of these */
#define TRIM_PIECES 4u /* at a time: to unmap memory interrupts all CPUs */

struct piece {
    struct piece *next;
    uint8_t *base;
    int fixed_index; /* -1: not registered */
    uint8_t size_class;
    bool touched; /* a buffer came back since the pool was trimmed last, and was the last one out */
    unsigned used; /* buffers that are handed out */
    struct buffer buffers[];
};

struct buffer_pool {
    struct loop *loop;
    struct buffer *free[BUFFER_CLASSES];
    size_t used_bytes; /* handed out */
    struct piece *pieces;
    unsigned piece_count, piece_limit, piece_max;
    unsigned class_pieces[BUFFER_CLASSES];
    bool starved;
    struct loop_timer trim_timer;
    bool trim_waits, ending;
};

static void trim(struct io_event *ev, int result);

static uint32_t class_bytes(unsigned size_class)
{
    return 1u << (SMALLEST_SHIFT + 2 * size_class);
}

static unsigned class_buffers(unsigned size_class)
{
    return BUFFER_PIECE_BYTES / class_bytes(size_class);
}

static unsigned class_for(uint32_t length_bytes)
{
    unsigned size_class = 0;

    while (class_bytes(size_class) < length_bytes)
        size_class++;
    return size_class;
}

int buffer_pool_create(struct buffer_pool **out, struct loop *loop, size_t limit_bytes,
                       size_t max_bytes, struct error *err)
{
    struct buffer_pool *pool = calloc(1, sizeof *pool);

    if (pool == NULL)
        return error_no_memory(err, "for data buffers");
    pool->loop = loop;
    buffer_pool_set_max(pool, limit_bytes, max_bytes);
    pool->trim_timer.event.fn = trim;
    *out = pool;
    return 0;
}

void buffer_pool_destroy(struct buffer_pool *pool)
{
    if (pool == NULL)
        return;
    assert(pool->used_bytes == 0);
    if (pool->trim_waits) { /* its event has to come back before its memory goes */
        pool->ending = true;
        loop_cancel(pool->loop, &pool->trim_timer.event);
        loop_run(pool->loop);
    }
    while (pool->pieces != NULL) {
        struct piece *piece = pool->pieces;

        pool->pieces = piece->next;
        munmap(piece->base, BUFFER_PIECE_BYTES);
        free(piece);
    }
    free(pool);
}

/* ---- less memory ---- */

static void forget_buffers(struct buffer_pool *pool, const struct piece *piece)
{
    struct buffer **link = &pool->free[piece->size_class];

    while (*link != NULL)
        if ((*link)->piece == piece)
            *link = (*link)->next_free;
        else
            link = &(*link)->next_free;
}

static void give_back(struct buffer_pool *pool, struct piece **link)
{
    struct piece *piece = *link;

    forget_buffers(pool, piece);
    *link = piece->next;
    pool->piece_count--;
    pool->class_pieces[piece->size_class]--;
    if (piece->fixed_index >= 0) /* the ring holds its pages until then */
        loop_unregister_memory(pool->loop, piece->fixed_index);
    munmap(piece->base, BUFFER_PIECE_BYTES);
    free(piece);
}

static bool give_back_unused(struct buffer_pool *pool)
{
    struct piece **link = &pool->pieces;

    while (*link != NULL && (*link)->used > 0)
        link = &(*link)->next;
    if (*link == NULL)
        return false;
    give_back(pool, link);
    return true;
}

void buffer_pool_set_max(struct buffer_pool *pool, size_t limit_bytes, size_t max_bytes)
{
    pool->piece_max = (unsigned)(max_bytes / BUFFER_PIECE_BYTES);
    pool->piece_limit = (unsigned)(limit_bytes / BUFFER_PIECE_BYTES);
    if (pool->piece_limit > pool->piece_max)
        pool->piece_limit = pool->piece_max;
    assert(pool->piece_limit > 0);
    while (pool->piece_count > pool->piece_limit && give_back_unused(pool))
        continue;
}

/* ---- more memory ---- */

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
        mmap(NULL, BUFFER_PIECE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (base == MAP_FAILED)
        return NULL;
    madvise(base, BUFFER_PIECE_BYTES,
            MADV_DONTDUMP); /* plaintext of encrypted disks passes through */
    return base;
}

static struct piece *make_piece(struct buffer_pool *pool, unsigned size_class)
{
    unsigned count = class_buffers(size_class);
    struct piece *piece = NULL;
    uint8_t *base = NULL;

    if (pool->piece_count < pool->piece_max)
        piece = calloc(1, sizeof *piece + count * sizeof piece->buffers[0]);
    if (piece != NULL)
        base = map_piece();
    if (base == NULL) {
        free(piece);
        return NULL;
    }
    piece->base = base;
    piece->size_class = (uint8_t)size_class;
    piece->fixed_index = loop_register_memory(pool->loop, base, BUFFER_PIECE_BYTES);
    return piece;
}

/* Maps one more piece and cuts it for the class. Where there is no memory, what nobody uses in
 * another class goes first. */
static bool class_grow(struct buffer_pool *pool, unsigned size_class)
{
    struct piece *piece = make_piece(pool, size_class);

    if (piece == NULL && give_back_unused(pool))
        piece = make_piece(pool, size_class);
    pool->starved = piece == NULL;
    if (piece == NULL)
        return false;
    for (unsigned i = class_buffers(size_class); i-- > 0;) {
        piece->buffers[i] = (struct buffer){
            .base = piece->base + (size_t)i * class_bytes(size_class),
            .capacity_bytes = class_bytes(size_class),
            .fixed_index = (int16_t)piece->fixed_index,
            .size_class = (uint8_t)size_class,
            .piece = piece,
            .next_free = pool->free[size_class],
        };
        pool->free[size_class] = &piece->buffers[i];
    }
    piece->next = pool->pieces;
    pool->pieces = piece;
    pool->piece_count++;
    pool->class_pieces[size_class]++;
    return true;
}

static void trim(struct io_event *ev, int result)
{
    struct buffer_pool *pool = container_of(ev, struct buffer_pool, trim_timer.event);
    struct piece **link = &pool->pieces;
    unsigned given = 0;

    (void)result;
    if (pool->ending) {
        loop_stop(pool->loop);
        return;
    }
    pool->trim_waits = false;
    while (*link != NULL) {
        struct piece *piece = *link;

        if (given < TRIM_PIECES && piece->used == 0 && !piece->touched) {
            give_back(pool, link);
            given++;
            continue;
        }
        pool->trim_waits |= piece->used == 0;
        piece->touched = false;
        link = &piece->next;
    }
    if (pool->trim_waits)
        loop_timer_start(pool->loop, &pool->trim_timer, TRIM_MS);
}

/* ---- buffers ---- */

/* There is one. */
static inline struct buffer *take(struct buffer_pool *pool, unsigned size_class)
{
    struct buffer *buffer = pool->free[size_class];

    pool->free[size_class] = buffer->next_free;
    pool->used_bytes += buffer->capacity_bytes;
    buffer->piece->used++;
    return buffer;
}

__attribute__((cold, noinline)) static struct buffer *tell_exhausted(const struct buffer_pool *pool)
{
    PROBE(buffer_exhausted, pool, pool->used_bytes);
    return NULL;
}

struct buffer *buffer_acquire(struct buffer_pool *pool, uint32_t length_bytes, size_t held_bytes)
{
    assert(length_bytes <= BUFFER_BYTES_MAX);
    unsigned wanted = class_for(length_bytes);
    size_t limit_bytes = (size_t)pool->piece_limit * BUFFER_PIECE_BYTES;
    size_t would_hold = held_bytes + class_bytes(wanted);
    bool guaranteed = would_hold <= BUFFER_BYTES_MAX;

    if (!guaranteed && would_hold + pool->used_bytes > limit_bytes)
        return tell_exhausted(pool);
    for (unsigned i = wanted; i < BUFFER_CLASSES; i++)
        if (pool->free[i] != NULL || (class_may_grow(pool, i) && class_grow(pool, i)))
            return take(pool, i);
    return guaranteed && class_grow(pool, wanted) ? take(pool, wanted) : tell_exhausted(pool);
}

/* All of its buffers are back. */
static void piece_left(struct buffer_pool *pool, struct piece *piece)
{
    piece->touched = true;
    if (pool->trim_waits)
        return;
    pool->trim_waits = true;
    loop_timer_start(pool->loop, &pool->trim_timer, TRIM_MS);
}

void buffer_release(struct buffer_pool *pool, struct buffer *buffer)
{
    buffer->next_free = pool->free[buffer->size_class];
    pool->free[buffer->size_class] = buffer;
    pool->used_bytes -= buffer->capacity_bytes;
    pool->starved = false;
    if (--buffer->piece->used == 0)
        piece_left(pool, buffer->piece);
}

void buffer_pool_scrub(struct buffer_pool *pool)
{
    while (give_back_unused(pool))
        continue;
    for (unsigned i = 0; i < BUFFER_CLASSES; i++)
        for (struct buffer *one = pool->free[i]; one != NULL; one = one->next_free)
            secret_wipe(one->base, one->capacity_bytes);
}

size_t buffer_pool_used_bytes(const struct buffer_pool *pool)
{
    return pool->used_bytes;
}

bool buffer_pool_is_starved(const struct buffer_pool *pool)
{
    return pool->starved;
}
