/* What is asked of a worker about its clients, by a message to its loop. */
#ifndef NBDCRYPT_WORKER_CLIENTS_H
#define NBDCRYPT_WORKER_CLIENTS_H

#include "server/connection/worker.h"

struct access;

/* The clients of which all of this is true are told to go, as at the end of the server.  `done`
 * runs on the worker's thread and must not block; a worker that has ended, or hangs, does not call
 * it. */
struct worker_farewell {
    struct loop_message message; /* for worker-clients.c, as the next one */
    struct worker *worker;
    uint64_t id;               /* on the board; 0: any */
    uint64_t export_id;        /* of the export that it has attached; 0: any, or none yet */
    const struct access *rule; /* that it matches (access.h); NULL: any */
    unsigned count;            /* that were told */
    void (*done)(struct worker_farewell *farewell);
};
void worker_send_away(struct worker *worker, struct worker_farewell *farewell);

#endif
