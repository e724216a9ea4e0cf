/* What is to be done of a copy, and how far it is: ranges come in from one thread, in order, and
 * pieces of them go out to all others. */
#ifndef NBDCRYPT_COPY_QUEUE_H
#define NBDCRYPT_COPY_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/base/error.h"

/* The two ends of a copy, or of a comparison. */
enum copy_end_index { COPY_SOURCE, COPY_TARGET, COPY_ENDS };

/* A piece is read and written at once, and lies between two multiples of it. */
#define COPY_PIECE_BYTES (256u * 1024u)

struct copy_range {
    uint64_t offset_bytes, length_bytes;
    bool zero[COPY_ENDS]; /* that end has zeros there, so nobody need read it */
};

struct copy_failure {
    int error; /* a positive errno; 0: none */
    enum copy_end_index end;
    const char *verb; /* "reading" */
    uint64_t offset_bytes;
};

struct copy_queue;

/* `slots`: so many pieces are out at a time; `zeros_max_bytes`: how long one may be that nobody
 * has to read, a multiple of COPY_PIECE_BYTES; `start_bytes`: where the first range begins. */
NODISCARD int copy_queue_create(struct copy_queue **out, unsigned slots, uint64_t zeros_max_bytes,
                                uint64_t start_bytes, struct error *err);
void copy_queue_destroy(struct copy_queue *queue);

/* ---- who feeds it ---- */

/* False: there is no room. */
bool copy_queue_put(struct copy_queue *queue, const struct copy_range *range);
/* There will be no more ranges. */
void copy_queue_end(struct copy_queue *queue);
/* Nothing more goes out. */
void copy_queue_stop(struct copy_queue *queue);
/* Until something has changed, or the time is over. */
void copy_queue_wait(struct copy_queue *queue, unsigned timeout_ms);
/* Everything that went out has come back, and no more will go out. */
bool copy_queue_is_done(struct copy_queue *queue);
bool copy_queue_is_stopped(struct copy_queue *queue);
/* All below it is done. */
uint64_t copy_queue_low_bytes(struct copy_queue *queue);
/* So much is done, wherever it lies. */
uint64_t copy_queue_done_bytes(struct copy_queue *queue);
struct copy_failure copy_queue_failure(struct copy_queue *queue);
/* The least offset that was given to copy_queue_differs(); UINT64_MAX: there was none. */
uint64_t copy_queue_difference(struct copy_queue *queue);

/* ---- who does it: any thread ---- */

/* False: there is none at present. */
bool copy_queue_take(struct copy_queue *queue, unsigned slot, struct copy_range *piece);
void copy_queue_did(struct copy_queue *queue, unsigned slot);
/* A piece comes back, but is not done.  The first failure is kept, and nothing more goes out. */
void copy_queue_fail(struct copy_queue *queue, const struct copy_failure *failure);
void copy_queue_differs(struct copy_queue *queue, uint64_t offset_bytes);
/* Who waits looks again. */
void copy_queue_wake(struct copy_queue *queue);

#endif
