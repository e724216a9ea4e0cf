/* One request to a pipeline: what is asked for, and the way back.
 *
 * A layer that only passes a request down calls layer_submit(layer->below, req).  One that
 * must see it again calls request_push() first; the frame keeps the view, so it may change it
 * for the layers below, and request_complete() restores it and calls `done`.  A transform is
 * a `submit` and a `done`.
 *
 * Every submitted request completes exactly once, inline or later, on its own worker. */
#ifndef NBDCRYPT_REQUEST_H
#define NBDCRYPT_REQUEST_H

#include "server/loop/buffer.h"
#include "server/loop/offload.h"
#include "server/block/range-lock.h"

enum request_op {
    REQUEST_READ,
    REQUEST_WRITE,
    REQUEST_FLUSH,
    REQUEST_TRIM,
    REQUEST_ZERO,
    REQUEST_CACHE,
    REQUEST_EXTENTS, /* view.data is a struct extent_list */
    REQUEST_OP_COUNT
};

#define REQUEST_FUA (1u << 0)       /* durable before it completes */
#define REQUEST_MAY_TRIM (1u << 1)  /* ZERO: the range may become a hole */
#define REQUEST_FAST_ZERO (1u << 2) /* ZERO: ENOTSUP rather than write it out */
#define REQUEST_ONE (1u << 3)       /* EXTENTS: only the first one is wanted */
#define REQUEST_WIDE (1u << 4)      /* EXTENTS: flags may have more than 32 bits; else EOVERFLOW */

#define REQUEST_DEPTH_MAX 4u
#define REQUEST_BYTES_MAX (1u << 30)

struct flusher;
struct layer;
struct request;
typedef void request_done_fn(struct layer *owner, struct request *req);

/* What the next layer down is asked for. */
struct view {
    enum request_op op;
    uint64_t offset_bytes;
    uint64_t length_bytes; /* at most REQUEST_BYTES_MAX, but of EXTENTS any */
    uint8_t *data;         /* into the buffer; NULL when the operation has no payload */
};

struct frame {
    request_done_fn *done;
    struct layer *owner;
    struct view saved;
};

/* Of base:allocation.  What the flags of other contexts mean, their namespace says. */
#define EXTENT_HOLE (1u << 0) /* NBD_STATE_HOLE */
#define EXTENT_ZERO (1u << 1) /* NBD_STATE_ZERO */

struct extent {
    uint64_t length_bytes;
    uint64_t flags;
};

/* The extents from view.offset_bytes on, without gaps; their sum is at most
 * view.length_bytes and not 0.  Neighbours with equal flags are one extent. */
struct extent_list {
    uint32_t capacity;
    uint32_t count;
    bool more; /* what follows was left out, and can be told in another list just as cheaply */
    struct extent extents[];
};

struct request {
    uint32_t flags; /* REQUEST_... */
    uint32_t epoch; /* from a backend that keeps an account (server/block/flusher.h), when a write
                     * that is not durable is done: the epoch of its first part; 0 otherwise */
    int error;      /* 0 or a positive errno; the first failure wins */
    uint32_t depth; /* frames that are in use */
    uint32_t error_at_bytes; /* of a READ that failed: so many from the start of the view were read,
                              * as far as the backend knows */
    uint32_t context;        /* of EXTENTS: what they tell (meta-contexts.h); 0: base:allocation */
    struct buffer *buffer;   /* NULL for operations without data */
    struct flusher *flusher; /* who wants the answer to a FLUSH; may be NULL */

    /* From here on nothing need be zeroed at first: who uses it sets it before. */
    struct view view;
    struct frame frames[REQUEST_DEPTH_MAX];

    struct request *next; /* the list that it is in */

    /* For the backend: its layer, the one operation it has in flight, and where it stands. */
    struct layer *backend;
    struct io_event io;
    struct offload_job job;
    uint32_t progress_bytes;
    uint32_t backend_ms; /* a moment */
    uint8_t backend_step;

    /* For the align layer. */
    uint8_t align_step;
    uint64_t align_look; /* range_stripes_look() */
    struct range_claim claim;
};

/* Puts `done` between the layer above and the one below; saves the view. */
void request_push(struct request *req, struct layer *owner, request_done_fn *done);

/* Restores the view of the last push and calls its `done`.  `error` is 0 or a positive errno;
 * it is kept unless an earlier one is there. */
void request_complete(struct request *req, int error);

/* Appends an extent, merging it with its predecessor; false when the list is full: then there is
 * more. */
bool extent_list_add(struct extent_list *list, uint64_t length_bytes, uint64_t flags);

/* Forgets what it holds. */
static inline void extent_list_clear(struct extent_list *list)
{
    list->count = 0;
    list->more = false;
}

#endif
