/* What is asked of a worker about one of its clients, by a message to its loop. */
#ifndef NBDCRYPT_WORKER_CLIENTS_H
#define NBDCRYPT_WORKER_CLIENTS_H

#include "server/connection/worker.h"

/* The client of that id on the board is told to go, as at the end of the server.  `done` runs on
 * the worker's thread and must not block; a worker that has ended, or hangs, does not call it. */
struct worker_farewell {
    struct loop_message message; /* for worker-clients.c, as the next one */
    struct worker *worker;
    uint64_t id;
    bool found; /* it was there */
    void (*done)(struct worker_farewell *farewell);
};
void worker_send_away(struct worker *worker, struct worker_farewell *farewell);

#endif
