/* The pipeline: a stage is one level of it, opened once for the export; a layer is that
 * stage on one worker.  Backends and transforms have the same shape; a stage whose `below`
 * is NULL is a backend.
 *
 *      stage (export)         layer (worker 0)   layer (worker 1)
 *      align ------------------- align ------------ align
 *      luks  ------------------- luks ------------- luks
 *      file  ------------------- file ------------- file
 *
 * To add one, copy plugins/memory.c: it is the commented template. */
#ifndef NBDCRYPT_LAYER_H
#define NBDCRYPT_LAYER_H

#include "server/base/params.h"
#include "server/block/meta-contexts.h"
#include "server/block/request.h"

/* What a stage can do; filled by its `open`, constant afterwards but for the size, which may grow
 * while layers are attached: it is read by limits_size_bytes() then. */
struct limits {
    uint64_t size_bytes; /* at most INT64_MAX */
    uint32_t
        block_min_bytes; /* a power of two, at most 65,536: offsets and lengths are multiples */
    uint32_t block_preferred_bytes; /* a power of two, at least block_min_bytes and 512, at
                                     * most 32 MiB */
    uint32_t phase_bytes;  /* 1, or the block of the align layer: view.data lies at buffer->base +
                            * offset % phase_bytes, and a WRITE or ZERO that is not a multiple
                            * of it has data, and room for two blocks behind the widened range */
    uint32_t ops;          /* bit per request_op; an unset one is refused, never passed on */
    bool halves_are_noise; /* those of two versions of a block: it is enciphered */
    bool fua;              /* REQUEST_FUA is honoured */
    bool tells_zeros;      /* EXTENTS, which is listed, knows of ranges that read as zeros */
    bool zero_needs_data;  /* ZERO comes with a buffer of its length (at most BUFFER_BYTES_MAX) */
    bool read_only;
    bool rotational;
    bool multi_conn; /* a FLUSH covers the replied writes of all connections */
};

/* How far behind the start of a block it lies; the size of a block is a power of two. */
static inline uint32_t offset_in_block(uint64_t offset_bytes, uint32_t block_bytes)
{
    return (uint32_t)offset_bytes & (block_bytes - 1);
}

#define OP_BIT(op) (1u << (op))

/* Whoever sees a size here sees at least that one in all layers below. */
static inline uint64_t limits_size_bytes(const struct limits *limits)
{
    return __atomic_load_n(&limits->size_bytes, __ATOMIC_ACQUIRE);
}

/* It never becomes less. */
static inline void limits_grow(struct limits *limits, uint64_t size_bytes)
{
    if (size_bytes > limits->size_bytes)
        __atomic_store_n(&limits->size_bytes, size_bytes, __ATOMIC_RELEASE);
}

struct group_sync;
struct image_claim;
struct report_node;
struct report_tree;
struct stage;
struct layer;

/* Where the operator wants no lock to be in the way. */
struct lock_terms {
    bool force_in_use; /* go on although another program has the image */
    bool no_lock;      /* go on where the storage has no locks; one that can be had is taken */
};

/* A part of an image. */
struct byte_range {
    uint64_t offset_bytes;
    uint64_t size_bytes; /* 0: all of the image, from offset 0 */
};

/* How an image is to be opened. */
struct image_options {
    unsigned fd; /* one of the image, lent: what it is called is for messages; 0: there is none */
    bool read_only;
    bool unchanged;       /* with read_only and lock: nobody may be writing it, QEMU included */
    bool without_backing; /* its backing file is left out, if its name permits none: nothing but its
                           * header will be read then */
    unsigned backing_depth; /* it is the backing file of so many others */
    bool qcow2;             /* it is one, whatever its name says */
    bool direct;            /* go around the page cache */
    bool at_once; /* who uses it serves nobody, and may block: what the page cache has, or takes, is
                   * copied by his thread */
    bool lock;    /* keep others from writing it, and with !read_only from serving it */
    bool header_only; /* with lock: only the LUKS header is touched, so that a server which has
                       * read it (see image_header_was_read) may go on serving the data; with
                       * read_only, for a server whose header is apart */
    struct lock_terms terms; /* of the lock */
    bool contexts; /* its metadata contexts are of use, where it is a backend that has some */
    const char *export_name; /* what it is opened for; NULL: a command */
    struct stage *beside;    /* one that is open; if it is of the same image, its lock is enough;
                              * may be NULL */
    struct offload *offload; /* may be NULL: nothing will be asked that blocks */
};

/* What a backend may be told besides its own parameters. */
struct stage_settings {
    const struct params *params;  /* of IMAGE: what followed the scheme; may be NULL */
    const char *path;             /* of IMAGE: the text behind "scheme:" up to '?' */
    const char *name;             /* IMAGE, for messages */
    struct image_options options; /* `beside` is a backend */
    bool lock_later;              /* not by `open`, but by `lock`, if the backend has that */
    struct byte_range part;       /* for `lock`: what of the image is used */
};

/* Of a backend that may lose what it has answered; see flusher.h, which calls these on the layer's
 * thread. */
struct flush_account_ops {
    void (*begin)(struct layer *layer, struct flusher *flusher);
    /* The answers to `count` writes leave; `oldest_epoch` is the least request.epoch of them. */
    void (*answered)(struct layer *layer, unsigned count, uint32_t oldest_epoch);
    void (*end)(struct layer *layer, struct flusher *flusher, bool in_good_order);
};

struct layer_ops {
    const char *name;        /* the scheme of IMAGE, or the transform's name */
    const char *description; /* "memory:SIZE, a disk in memory": a line of --help, which begins with
                                the name */
    const struct param
        *params; /* what IMAGE may carry behind '?', ends with name NULL; may be NULL */

    /* Opens a backend: blocks, once per export.  NULL in transforms, which have a
     * constructor of their own with typed arguments. */
    int (*open)(struct stage **out, const struct stage_settings *settings, struct error *err);
    /* What `open` would lock, narrowed to settings->part, once it is known; blocks.  NULL: `open`
     * has locked what can be locked. */
    int (*lock)(struct stage *stage, const struct stage_settings *settings, struct error *err);
    /* A text that is equal for names of the same image, as far as names tell; to be freed; NULL: no
     * memory, or it can't be named like that.  Of storage that lets one process write an image by
     * two pipelines: see image-claim.h.  NULL: `lock` is for that, or each is an image of its own.
     */
    char *(*identify)(const char *scheme, const struct stage_settings *settings);
    bool passes_contexts; /* offsets are those of the stage below, and extents go through */
    bool opens_in_order;  /* by one thread, one at a time, in the order of the command line */
    /* What `lock` has locked is the data alone from now on: see image_header_was_read().  NULL:
     * there are no locks. */
    void (*header_was_read)(struct stage *stage);
    /* How large is what it reads now, its own storage or the stage below?  A change is told by
     * limits_grow(), on the main thread while layers are attached.  NULL: its size is fixed. */
    void (*grow)(struct stage *stage);
    /* Any thread: is the storage not there at present, as far as is known?  NULL: it always is. */
    bool (*is_lost)(const struct stage *stage);
    /* Any thread, while workers use it: puts into a report what only it knows.  No secret.  NULL:
     * nothing. */
    void (*report)(const struct stage *stage, struct report_tree *tree, struct report_node *of);
    /* Makes the layer for a worker, on the worker's thread.  `below` is NULL for a backend. */
    int (*attach)(struct layer **out, struct stage *stage, struct layer *below, struct loop *loop,
                  struct error *err);
    /* Starts the request; it completes exactly once through request_complete(). */
    void (*submit)(struct layer *layer, struct request *req);
    const struct flush_account_ops *account; /* NULL: there is none */
    /* No request is in flight, and none will come: what takes time before `detach` is begun, and
     * the event comes when it is done.  The loop goes on.  NULL: there is nothing. */
    void (*leave)(struct layer *layer, struct io_event *ev);
    /* No request is in flight.  It may run the loop, if it was not told to leave before. */
    void (*detach)(struct layer *layer);
    /* No layer is attached. */
    void (*close)(struct stage *stage);
};

struct stage {
    const struct layer_ops *ops;
    struct stage *below; /* owned; NULL: this is a backend */
    struct limits limits;
    struct image_claim *claim; /* of a backend with layer_ops.identify that is written, or NULL */
    const struct meta_contexts *contexts; /* of a backend: that EXTENTS may ask for besides
                                           * base:allocation; NULL: none */
    struct group_sync
        *sync; /* of a backend whose storage tells of lost data once (group-sync.h), or NULL */
};

struct layer {
    const struct layer_ops *ops;
    struct stage *stage;
    struct layer *below; /* owned */
    struct loop *loop;
};

/* Attaches `top` and all stages under it to a loop; the layers so far are detached when one
 * fails. */
NODISCARD int stage_attach(struct layer **out, struct stage *top, struct loop *loop,
                           struct error *err);
/* Lets the backend of a layer leave: see layer_ops. */
void layer_leave(struct layer *top, struct io_event *ev);
/* Detaches a layer and all below it. */
void layer_detach(struct layer *top);
/* Closes a stage and all below it; NULL is fine. */
void stage_close(struct stage *top);
/* Looks how large the image is now, and lets the stages grow, from below. */
void stage_grow(struct stage *top);
/* The backend under it, or itself. */
struct stage *stage_backend(struct stage *top);
/* The metadata contexts of the backend, where they are about the same bytes as those of `top`, and
 * not moved or enciphered; NULL: there are none. */
const struct meta_contexts *stage_contexts(const struct stage *top);

/* Checks the contract of the layer (operation listed, range inside, alignment), which is the
 * caller's duty, and hands the request over. */
void layer_submit(struct layer *layer, struct request *req);

#endif
