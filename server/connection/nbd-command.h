/* A client's command while it is being served, and the fragments it is served in.
 *
 * A command of up to 256 KiB is one fragment; a larger one moves through the pipeline in
 * fragments of that size, a few in flight, so that memory per connection is bounded and the
 * data stays in the cache between the read, the cipher and the send.  Both come from the
 * worker's pool when the header of the command has been decoded; nothing below allocates. */
#ifndef NBDCRYPT_NBD_COMMAND_H
#define NBDCRYPT_NBD_COMMAND_H

#include "server/nbd/nbd-wire.h"
#include "server/block/request.h"

#define COMMAND_MESSAGE_BYTES 192u

struct transmission;
struct fragment;

struct command {
    struct transmission *transmission;
    struct nbd_request request; /* as the client sent it */

    /* From here to `message` all is zeroed at first. */
    enum request_op op;           /* what it is for the pipeline */
    uint32_t request_flags;       /* REQUEST_... for every fragment */
    uint32_t issued_bytes;        /* of request.length_bytes */
    unsigned fragments_in_flight; /* acquired, and not yet through the pipeline */
    unsigned fragments_held;      /* acquired, and not yet sent */
    int error;                    /* a positive errno; the first failure wins */
    uint32_t epoch;               /* the least of its fragments that is not 0 (request.epoch) */
    uint64_t error_offset_bytes;
    const char *refusal; /* why it was refused before it began; NULL otherwise */

    /* A read of several fragments in simple replies is one piece on the wire: header, then
     * the data in order, nothing between. */
    bool contiguous;
    bool header_queued;
    bool long_zeroes;      /* in transmission->zeroes */
    uint32_t queued_bytes; /* of the data, in order */
    struct fragment *done; /* read, waiting for their turn; by offset */
    struct command *next;  /* contiguous commands, or long zeroes, in progress; or the free list */
    char message[COMMAND_MESSAGE_BYTES];
};

/* One request to the pipeline and one piece of the reply. */
struct fragment {
    struct command *command;
    uint8_t head[32];      /* goes on the wire before the payload */
    struct fragment *next; /* of the list it is in; or the free list */

    /* From here to request.view all is zeroed at first. */
    uint32_t start_bytes;   /* from the start of the command's range */
    uint32_t data_bytes;    /* of that range, without what widens it */
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

struct request_pool;
/* `commands_max`: what all connections share, besides what each is guaranteed. */
NODISCARD int request_pool_create(struct request_pool **out, unsigned commands_max,
                                  struct error *err);
void request_pool_destroy(struct request_pool *pool);

/* A command, with `transmission` set; or NULL. `held` is how many its connection has. */
struct command *command_acquire(struct request_pool *pool, struct transmission *transmission,
                                unsigned held);
void command_release(struct request_pool *pool, struct command *command);
/* A fragment of the command; NULL: there is none for it now. */
struct fragment *fragment_acquire(struct request_pool *pool, struct command *command);
void fragment_release(struct request_pool *pool, struct fragment *fragment);

/* Of a write, in a backend that keeps an account: `epoch` of one of its fragments. */
static inline void command_note_epoch(struct command *command, uint32_t epoch)
{
    if (epoch != 0 && (command->epoch == 0 || epoch < command->epoch))
        command->epoch = epoch;
}

#endif
