/* What one connection holds of its worker's slots and buffers, and how much of them it may have.
 * Part of the path of each request, so it is inline. */
#ifndef NBDCRYPT_HOLDINGS_H
#define NBDCRYPT_HOLDINGS_H

#include "server/connection/nbd-command.h"
#include "server/connection/worker.h"

#define HOLDINGS_COMMANDS_MAX 128u
#define HOLDINGS_BYTES_MAX (8u * 1024u * 1024u) /* of buffers */
#define HOLDINGS_FRAGMENTS_MAX 4u               /* of one command */
/* So many times these bytes with parts of replies: 2^20 extents have 16 MiB. */
#define HOLDINGS_PARTS_FACTOR 3u

struct holdings {
    struct worker *worker;
    unsigned commands;
    unsigned commands_max; /* as many as it may have now: fair-share.h */
    size_t bytes;          /* the capacities of its buffers */
    size_t bytes_max;
    bool lacks; /* it waits, and not because its share among others is used up (fair-share.h) */
};

static inline void holdings_init(struct holdings *holdings, struct worker *worker)
{
    *holdings = (struct holdings){ .worker = worker,
                                   .commands_max = HOLDINGS_COMMANDS_MAX,
                                   .bytes_max = HOLDINGS_BYTES_MAX };
    worker->attached++;
}

/* Nothing is held. */
static inline void holdings_end(const struct holdings *holdings)
{
    holdings->worker->attached--;
}

/* It begins to wait for a slot or a buffer; whether that is for lack of them. */
static inline bool holdings_wait(struct holdings *holdings)
{
    bool has_its_share = holdings->commands_max < HOLDINGS_COMMANDS_MAX &&
                         (holdings->commands >= holdings->commands_max ||
                          holdings->bytes + BUFFER_BYTES_MAX > holdings->bytes_max);

    holdings->lacks = !has_its_share;
    holdings->worker->lacking += holdings->lacks;
    return holdings->lacks;
}

/* It waits no more, if it did. */
static inline bool holdings_go_on(struct holdings *holdings)
{
    holdings->worker->lacking -= holdings->lacks;
    holdings->lacks = false;
    return false;
}

/* Those who wait try again: something has come back. */
static inline void holdings_tell(const struct holdings *holdings)
{
    if (holdings->worker->parked.first != NULL)
        loop_defer(holdings->worker->loop, &holdings->worker->unpark);
}

/* NULL: there is none for it now. */
static inline struct command *holdings_take_command(struct holdings *holdings,
                                                    struct transmission *transmission)
{
    struct command *command = NULL;

    if (holdings->commands < holdings->commands_max)
        command = command_acquire(holdings->worker->requests, transmission, holdings->commands);
    if (command != NULL)
        holdings->commands++;
    return command;
}

/* Nothing of it is in flight or queued. */
static inline void holdings_give_command(struct holdings *holdings, struct command *command)
{
    holdings->commands--;
    command_release(holdings->worker->requests, command);
    holdings_tell(holdings);
}

/* A buffer of that size, or NULL.  `urgent`: it gets one whatever it holds. */
static inline struct buffer *holdings_take_buffer(struct holdings *holdings, uint32_t buffer_bytes,
                                                  bool urgent)
{
    if (holdings->bytes + buffer_bytes > holdings->bytes_max && !urgent)
        return NULL;
    return buffer_acquire(holdings->worker->buffers, buffer_bytes, urgent ? 0 : holdings->bytes);
}

/* A fragment with a buffer of that size (0: without one); NULL when there is none now. */
static inline struct fragment *holdings_take_fragment(struct holdings *holdings,
                                                      struct command *command,
                                                      uint32_t buffer_bytes, bool urgent)
{
    struct buffer *buffer = NULL;

    if (command->fragments_held >= HOLDINGS_FRAGMENTS_MAX)
        return NULL;
    if (buffer_bytes > 0) {
        buffer = holdings_take_buffer(holdings, buffer_bytes, urgent);
        if (buffer == NULL)
            return NULL;
    }
    struct fragment *fragment = fragment_acquire(holdings->worker->requests, command);
    if (fragment == NULL) {
        if (buffer != NULL)
            buffer_release(holdings->worker->buffers, buffer);
        return NULL;
    }
    fragment->request.buffer = buffer;
    holdings->bytes += buffer != NULL ? buffer->capacity_bytes : 0;
    command->fragments_held++;
    command->fragments_in_flight++;
    return fragment;
}

/* The next part of a reply that is sent as a whole, with a buffer: such a command may have more of
 * both than others, within what all share.  Nobody may wait for one: NULL is for good. */
static inline struct fragment *holdings_take_part(struct holdings *holdings,
                                                  struct command *command, uint32_t buffer_bytes)
{
    struct buffer *buffer = NULL;
    struct fragment *fragment = NULL;

    if (holdings->bytes + buffer_bytes <= HOLDINGS_PARTS_FACTOR * holdings->bytes_max)
        buffer = buffer_acquire(holdings->worker->buffers, buffer_bytes, holdings->bytes);
    if (buffer != NULL)
        fragment = fragment_acquire(holdings->worker->requests, command);
    if (fragment == NULL) {
        if (buffer != NULL)
            buffer_release(holdings->worker->buffers, buffer);
        return NULL;
    }
    fragment->request.buffer = buffer;
    holdings->bytes += buffer->capacity_bytes;
    command->fragments_held++;
    command->fragments_in_flight++;
    return fragment;
}

/* And its buffer.  Who waits is not told: holdings_tell(), or the command goes back as well. */
static inline void holdings_give_fragment(struct holdings *holdings, struct fragment *fragment)
{
    struct buffer *buffer = fragment->request.buffer;

    if (buffer != NULL) {
        holdings->bytes -= buffer->capacity_bytes;
        buffer_release(holdings->worker->buffers, buffer);
    }
    fragment->command->fragments_held--;
    fragment_release(holdings->worker->requests, fragment);
}

#endif
