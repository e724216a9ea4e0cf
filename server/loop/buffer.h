/* Data buffers of one worker: page-aligned, of four sizes, cut from pieces of 2 MiB that are
 * mapped and registered with the ring when they are needed, up to a fixed total, and go back to the
 * kernel some seconds after they were used last.
 *
 * Nobody waits here: when no buffer may be had, buffer_acquire() returns NULL, and the asker
 * parks until one came back (worker.h).  Who may have one:
 *
 * - a connection may always hold BUFFER_BYTES_MAX, even beyond the limit, so that one that does
 *   not take its replies can slow others down but never stop them;
 * - above that, one gets more only while what it holds is no more than what is free for all
 *   (the dynamic threshold of Choudhury and Hahne, "Dynamic queue length thresholds for
 *   shared-memory packet switches", 1998).
 *
 * So a pool holds at most its limit plus BUFFER_BYTES_MAX per connection, and never more than its
 * maximum. Where that, or the kernel, has no memory for what is guaranteed, the pool is starved:
 * see memory-pressure.h. */
#ifndef NBDCRYPT_BUFFER_H
#define NBDCRYPT_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/loop/data-buffer.h"
#include "server/loop/loop.h"

#define BUFFER_BYTES_MAX (256u * 1024u)
#define BUFFER_CLASSES 4u /* 4, 16, 64 and 256 KiB */
#define BUFFER_PIECE_BYTES (2u * 1024u * 1024u)

struct buffer_pool;

/* `limit_bytes`, `max_bytes`: at least BUFFER_PIECE_BYTES. */
NODISCARD int buffer_pool_create(struct buffer_pool **out, struct loop *loop, size_t limit_bytes,
                                 size_t max_bytes, struct error *err);
/* Other limits from now on; what is out comes back when it does. */
void buffer_pool_set_max(struct buffer_pool *pool, size_t limit_bytes, size_t max_bytes);
/* Every buffer must have been given back. */
void buffer_pool_destroy(struct buffer_pool *pool);

/* A buffer of at least `length_bytes` (at most BUFFER_BYTES_MAX), or NULL.  `held_bytes` is
 * what the asking connection holds: the capacities of its buffers, kept by the caller. */
struct buffer *buffer_acquire(struct buffer_pool *pool, uint32_t length_bytes, size_t held_bytes);
void buffer_release(struct buffer_pool *pool, struct buffer *buffer);
/* What was in buffers that are free is nowhere in memory any more. */
void buffer_pool_scrub(struct buffer_pool *pool);
/* The capacities of all that were not given back. */
size_t buffer_pool_used_bytes(const struct buffer_pool *pool);
/* There was no memory for a buffer, and none came back since. */
bool buffer_pool_is_starved(const struct buffer_pool *pool);

#endif
