/* What clients attach: a name and the pipeline behind it.
 *
 * The key is derived once, when an export is opened: before the first client is accepted, or later
 * for one that could not be opened then.  Workers read exports without locks: what tells which one
 * it is is there from the start, the rest before it is published, and neither changes
 * afterwards. */
#ifndef NBDCRYPT_EXPORT_H
#define NBDCRYPT_EXPORT_H

#include <stdatomic.h>

#include "server/board/board.h"
#include "server/export/block-sizes.h"
#include "server/export/export-settings.h"
#include "server/export/limit-clients.h"

struct access;
struct loop;
struct range_lock;

/* What its LUKS header said when it was opened, for who asks; all zeros of a raw one. */
struct export_luks {
    unsigned version; /* 1, 2 */
    char uuid[40];
    char cipher[80]; /* "aes-xts-plain64" */
    unsigned key_bits;
    uint32_t sector_bytes;
};

struct export
{
    uint64_t id;               /* never another's, in the life of a server */
    const struct board *board; /* where it is seen; NULL: nowhere */
    board_place place;         /* of its row there; or BOARD_NOWHERE */
    /* What was asked for: they outlive it, unless export_alter() gave it others. */
    const struct export_settings *settings;
    void (*free_settings)(struct export_settings * settings); /* for its owner; NULL: they stay */
    /* Of the settings.  They may be exchanged while workers read them: whoever does that frees
     * those before when all workers have said that they are past them. */
    const char *_Atomic name;
    const char *_Atomic description;     /* NULL: none */
    const struct access *_Atomic access; /* who may attach it; NULL: everybody */
    atomic_bool tls_only;
    atomic_bool suspended; /* its key has gone, or is about to go */
    atomic_uint weight;    /* of its clients beside those of others; 0: EXPORT_WEIGHT_USUAL */
    atomic_bool limited;   /* a command may have to wait for one of these: */
    struct limit_set rates;
    struct limit_set *_Atomic group; /* that it has a part of; NULL: none */
    struct limit_part part;
    struct limit_clients clients;
    atomic_uint visits;  /* of threads that read its storage, besides workers: it is not closed
                          * before they have gone */
    atomic_bool missing; /* it is not open: what follows is all zeros, or not to be looked at */
    struct stage *top;
    struct export_luks luks;
    struct stage *header; /* a detached one that stays open, because it is locked; NULL: none */
    bool found_qcow2;     /* while it is opened: instead of a LUKS volume */
    const struct meta_contexts *contexts; /* of its storage, that clients may ask for; NULL: none */
    struct block_sizes block_sizes;       /* that clients are told instead of those of `limits` */
    struct limits limits;      /* of the top, with read_only as the user asked; the size may grow */
    struct range_lock *ranges; /* used by the align stage */
    struct export_part *parts; /* one per worker */
};

/* The pipeline of an export on one worker, who alone uses it. */
struct export_part {
    struct layer *layer;              /* NULL: no client of that worker has attached it yet */
    bool suspended;                   /* no command of its clients is begun */
    struct export_part **link, *next; /* of the worker's list of those that have a layer */
};

/* All that can be said of one that is not open. */
void export_declare(struct export *out, uint64_t id, const struct export_settings *settings);

/* `out` is for this thread alone: export_publish() gives it to the others. */
NODISCARD int export_open(struct export *out, const struct export_settings *settings,
                          struct offload *offload, unsigned workers, struct error *err);
/* `ex` has been declared, and is open from then on. */
void export_publish(struct export *ex, const struct export *opened);
void export_close(struct export *ex);

static inline bool export_is_open(const struct export *ex)
{
    return !atomic_load_explicit(&ex->missing, memory_order_acquire);
}

/* It has its id and is seen on that board from now on, which must outlive it. */
void export_join_board(struct export *ex, const struct board *board);
/* Gives it other settings of the same name, image and pipeline. */
void export_alter(struct export *ex, const struct export_settings *settings);
/* Limits it, for the next command of each client.  One thread at a time. */
void export_limit(struct export *ex, const struct limit_terms *terms);
/* Makes it one of a group (NULL or LIMIT_GROUP_NONE: of none) with that weight, for the same.  One
 * thread at a time. */
void export_share(struct export *ex, const char *group, unsigned weight);
#define EXPORT_WEIGHT_USUAL 100u
static inline unsigned export_weight(const struct export *ex)
{
    unsigned weight = atomic_load_explicit(&ex->weight, memory_order_relaxed);

    return weight > 0 ? weight : EXPORT_WEIGHT_USUAL;
}

/* Whether limits have to be looked at: asked for each request, so it is one comparison in memory,
 * which compilers make two of where a number is atomic. */
static inline bool export_is_limited(const struct export *ex)
{
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
    bool limited;

    __asm__("cmpb $0, %1" : "=@ccne"(limited) : "m"(ex->limited));
    return limited;
#else
    return atomic_load_explicit(&ex->limited, memory_order_relaxed);
#endif
}
/* The worker's thread: whether those who attach it now have to wait. */
static inline bool export_is_suspended(const struct export *ex, unsigned worker)
{
    return ex->parts[worker].suspended || atomic_load(&ex->suspended);
}

/* Looks whether the image was made larger, and tells: who attaches it from now on sees the new
 * size.  On the main thread, while it is served. */
void export_grow(struct export *ex);
/* Makes durable what clients wrote; blocks.  For the end of the server, which takes the loop at its
 * start: another ring might not be had any more. */
NODISCARD int export_flush(struct export *ex, struct loop *loop, struct error *err);

/* The export's pipeline on worker number `worker`, whose loop this is; made at the first call, and
 * in the list of that worker from then on. */
NODISCARD int export_attach(struct layer **out, struct export *ex, unsigned worker,
                            struct loop *loop, struct export_part **list, struct error *err);
/* On the worker's thread, when nothing is in flight in it and its loop goes on: says goodbye to
 * whom its backend talks to.  The event comes when that is done, perhaps at once; next is: */
void export_part_leave(struct export_part *part, struct io_event *ev);
/* On the worker's thread: gives a pipeline back, if there is one.  Nothing is in flight in it. */
void export_part_detach(struct export_part *part);

#endif
