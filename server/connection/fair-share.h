/* What several clients of one worker get of it, when together they want more than it can do.
 *
 * A worker takes what has come in order, so a client with much in flight is served before one with
 * little, and each request waits for all that is there.  So while the batches of the loop are long
 * and several clients are at work, each may have only so much in flight: a part by its weight of a
 * window that is made smaller until the batches are short, and larger again when they are.  Who has
 * one request in flight never notices; and as all that is in flight waits equally long, shares of
 * the window are shares of the worker.
 *
 * Where storage is slow, or the clients are, batches are short and nobody has less than usual.
 * All connections of a client to an export have one share. */
#ifndef NBDCRYPT_FAIR_SHARE_H
#define NBDCRYPT_FAIR_SHARE_H

#include <stdint.h>

#include "server/loop/loop.h"

#define FAIR_SHARE_LONG_NS 40000u /* a batch that takes longer keeps others waiting */
#define FAIR_SHARE_LOOK_NS 4000000u
#define FAIR_SHARE_COMMANDS_MIN 8u /* of all clients together */

struct worker;

struct fair_share {
    struct io_event crowded; /* what the worker tells */
    struct worker *worker;
    unsigned window;       /* commands of all of them together; 0: each has as many as it may */
    unsigned batches;      /* since the last look */
    unsigned long_batches; /* of these */
    uint64_t look_ns;      /* of the last look */
};

/* The worker hears of it from now on. */
void fair_share_init(struct fair_share *share, struct worker *worker);
/* A batch that began at now_ns has ended. */
void fair_share_batch(struct fair_share *share, uint64_t now_ns, uint64_t elapsed_ns);

#endif
