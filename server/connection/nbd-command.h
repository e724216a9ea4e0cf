/* A client's command while it is being served, and the fragments it is served in.
 *
 * A command of up to 256 KiB is one fragment; a larger one moves through the pipeline in
 * fragments of that size, a few in flight, so that memory per connection is bounded and the
 * data stays in the cache between the read, the cipher and the send.  Both come from the
 * worker's pool when the header of the command has been decoded; nothing below allocates. */
#ifndef NBDCRYPT_NBD_COMMAND_H
#define NBDCRYPT_NBD_COMMAND_H

#include <string.h>

#include "server/nbd/nbd-wire.h"
#include "server/block/request.h"

#define COMMAND_MESSAGE_BYTES 192u

struct board;
struct board_command_row;
struct transmission;
struct fragment;

/* Of the reply to a BLOCK_STATUS, whose parts are being gathered (status-reply.h). */
struct command_status {
    uint64_t told_bytes; /* of the range */
    uint32_t extents;
    bool more; /* the backend has told less than it knows */
    struct extent last;
    uint8_t *last_at; /* its descriptor */
};

/* Of a READ, which are told rather than read (sparse-read.h): from the start of its range. */
#define COMMAND_HOLES_MAX 22u
struct command_holes {
    uint32_t count;
    struct {
        uint32_t start_bytes, end_bytes;
    } at[COMMAND_HOLES_MAX];
};

struct command {
    struct transmission *transmission;
    struct board_command_row *row; /* of its slot, on the board */
    struct nbd_request request;    /* as the client sent it */

    /* From here to `message` all is zeroed at first. */
    enum request_op op;           /* what it is for the pipeline */
    uint32_t request_flags;       /* REQUEST_... for every fragment */
    uint64_t issued_bytes;        /* of request.length_bytes */
    unsigned fragments_in_flight; /* acquired, and not yet through the pipeline */
    unsigned fragments_held;      /* acquired, and not yet sent */
    int error;                    /* a positive errno; the first failure wins */
    uint32_t epoch;               /* the least of its fragments that is not 0 (request.epoch) */
    uint64_t error_offset_bytes;
    const char *refusal; /* why it was refused before it began; NULL otherwise */
    bool needs_care; /* it was refused, or more than its header has to be there before it begins */

    /* A read of several fragments in simple replies is one piece on the wire: header, then
     * the data in order, nothing between.  And so is block status of several. */
    bool contiguous;
    bool header_queued;
    bool long_zeroes;      /* in transmission->zeroes */
    bool sparse;           /* in transmission->sparse */
    uint16_t contexts;     /* of a BLOCK_STATUS: a bit for each that is yet to be told, of which the
                            * lowest one is being told (server/block/meta-contexts.h) */
    uint32_t queued_bytes; /* of the data, in order */
    struct fragment *done; /* read, waiting for their turn; by offset.  Of a BLOCK_STATUS: parts of
                            * a chunk of the reply, the last one first */
    struct command
        *next; /* contiguous commands, long zeroes or sparse reads in progress; or the free list */
    union {
        char message[COMMAND_MESSAGE_BYTES];
        struct command_status status; /* from its first part on */
        struct command_holes holes;   /* while `sparse` */
    };
};

/* Of a BLOCK_STATUS that is not told wholly. */
static inline unsigned command_context(const struct command *command)
{
    return (unsigned)__builtin_ctz(command->contexts);
}

/* One request to the pipeline and one piece of the reply. */
struct fragment {
    struct command *command;
    uint8_t head[44];      /* goes on the wire before the payload */
    struct fragment *next; /* of the list it is in; or the free list */

    /* From here to request.view all is zeroed at first. */
    uint64_t start_bytes;   /* from the start of the command's range */
    uint32_t data_bytes;    /* of a READ or WRITE: of that range, without what widens it */
    const uint8_t *payload; /* once it is ready */
    uint32_t payload_bytes;
    uint32_t head_bytes;
    bool last; /* of its command: both are given back when it is sent */
    struct request request;
};

/* Who may have a slot, so that nobody can take them all:
 *
 * - a connection may always have COMMANDS_GUARANTEED commands, and each command one fragment, even
 *   beyond the limits;
 * - above that, one gets more only while what it has is no more than what is free for all: the
 * dynamic threshold of buffer.h. */
#define COMMANDS_GUARANTEED 4u

/* Slots of one size, made a slab at a time when they are needed; never given back to the system
 * before the end, so the most recently used one is warm. */
struct slots {
    size_t slot_bytes;
    int left; /* of the limit; less than 0: so many beyond it, as is guaranteed */
    struct slab *slabs;
    void *free; /* list through the first pointer of each slot */
};

struct request_pool {
    struct slots commands, fragments;
    unsigned commands_max;
    const struct board *board;
};

/* `commands_max`: what all connections share, besides what each is guaranteed.  The board must
 * outlive it. */
NODISCARD int request_pool_create(struct request_pool **out, unsigned commands_max,
                                  const struct board *board, struct error *err);
void request_pool_destroy(struct request_pool *pool);
/* Commands that are in use. */
unsigned request_pool_commands(const struct request_pool *pool);

/* Another slab; false: there is no memory. */
bool request_pool_grow_commands(struct request_pool *pool) __attribute__((cold));
bool request_pool_grow_fragments(struct request_pool *pool) __attribute__((cold));

/* What follows is part of the path of each request, so it is inline. */

/* `held`: what the asker has of them; up to `guaranteed` it gets one in any case. */
static inline void *slots_take(struct slots *slots, unsigned held, unsigned guaranteed,
                               bool (*grow)(struct request_pool *pool), struct request_pool *pool)
{
    if (held >= guaranteed && (int)held >= slots->left)
        return NULL;
    if (slots->free == NULL && !grow(pool))
        return NULL;
    void *slot = slots->free;
    slots->free = *(void **)slot;
    slots->left--;
    return slot;
}

static inline void slots_give(struct slots *slots, void *slot)
{
    *(void **)slot = slots->free;
    slots->free = slot;
    slots->left++;
}

static inline void slot_clear(void *slot, size_t from_bytes, size_t end_bytes)
{
    memset((uint8_t *)slot + from_bytes, 0, end_bytes - from_bytes);
}

/* A command, with `transmission` set; or NULL. `held` is how many its connection has. */
static inline struct command *command_acquire(struct request_pool *pool,
                                              struct transmission *transmission, unsigned held)
{
    struct command *command =
        slots_take(&pool->commands, held, COMMANDS_GUARANTEED, request_pool_grow_commands, pool);

    if (command == NULL)
        return NULL;
    slot_clear(command, offsetof(struct command, op), offsetof(struct command, message));
    command->transmission = transmission;
    return command;
}

static inline void command_release(struct request_pool *pool, struct command *command)
{
    slots_give(&pool->commands, command);
}

/* A fragment of the command; NULL: there is none for it now. */
static inline struct fragment *fragment_acquire(struct request_pool *pool, struct command *command)
{
    struct fragment *fragment =
        slots_take(&pool->fragments, command->fragments_held, 1, request_pool_grow_fragments, pool);

    if (fragment == NULL)
        return NULL;
    slot_clear(fragment, offsetof(struct fragment, start_bytes),
               offsetof(struct fragment, request.view));
    fragment->command = command;
    return fragment;
}

static inline void fragment_release(struct request_pool *pool, struct fragment *fragment)
{
    slots_give(&pool->fragments, fragment);
}

struct conversation;

/* Tells of one that has failed, unless so many `before` it have: a failing disk must not fill the
 * log. */
void command_log_error(const struct command *command, unsigned before,
                       const struct conversation *talk) __attribute__((cold));

/* Of a write, in a backend that keeps an account: `epoch` of one of its fragments. */
static inline void command_note_epoch(struct command *command, uint32_t epoch)
{
    if (epoch != 0 && (command->epoch == 0 || epoch < command->epoch))
        command->epoch = epoch;
}

#endif
