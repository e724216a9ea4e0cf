/* Who writes and flushes, as a backend has to know him that may lose what it has answered: a
 * connection of a client, or work on a header.
 *
 * A FLUSH promises that all writes whose answers had left when it came are durable.  Such a
 * backend (plugins/remote/remote-ledger.h) keeps an account of those answers, for all flushers, and
 * of whom it has told of a loss by a FLUSH that failed.  Where it has none, all of this does
 * nothing.
 *
 * On the thread of the layer's loop. */
#ifndef NBDCRYPT_FLUSHER_H
#define NBDCRYPT_FLUSHER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct layer;

/* Zeroed before flusher_begin().  A FLUSH has it as its view.data. */
struct flusher {
    bool since_start;      /* it answers for nothing older: the program itself, at its end */
    struct layer *backend; /* NULL: it keeps no account */
    uint32_t answers;      /* to writes that are not durable, about to leave */
    uint32_t oldest_epoch; /* the oldest request.epoch of those */

    /* The backend's. */
    atomic_uint_fast64_t told; /* of the loss of the first so many writes */
    uint64_t settled;          /* and it has gone on after so many */
    uint32_t vanished_before;  /* other flushers, before it began */
};

/* Before its first request to `top`. */
void flusher_begin(struct flusher *flusher, struct layer *top);
/* A write is done and its answer ready; `epoch` is not 0. */
void flusher_write_done(struct flusher *flusher, uint32_t epoch);
/* The answers that are ready leave now. */
void flusher_answers_leave(struct flusher *flusher);
/* Nothing of it is in flight; `in_good_order`: it has had all answers, as far as one can know (a
 * socket that is closed with something unread in it is reset). */
void flusher_end(struct flusher *flusher, bool in_good_order);

#endif
