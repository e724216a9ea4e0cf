/* What a worker does when the exports of the server change while it serves: see
 * server/serve/exports.h, whose thread calls these.  All messages go through the worker's loop, and
 * what has been asked is told to have been done by a function that runs on the worker's thread and
 * must not block.  A worker that has ended answers nothing any more. */
#ifndef NBDCRYPT_WORKER_EXPORTS_H
#define NBDCRYPT_WORKER_EXPORTS_H

#include "server/connection/worker.h"

/* From now on clients see this set.  Those who have an export that no longer lets them in, or who
 * would need TLS now, are told to go.  `done` is called when nothing of the set before is in use
 * here. */
struct worker_use {
    struct loop_message message; /* for this file */
    struct worker *worker;       /* the same */
    const struct export_set *set;
    const struct worker_terms *terms; /* that hold with it; NULL: those of before */
    void (*done)(struct worker_use *use);
};
void worker_use_exports(struct worker *worker, struct worker_use *use);

/* How many connections have this export, or are about to have it. */
struct worker_count {
    struct loop_message message;
    struct worker *worker;
    const struct export *export;
    unsigned clients;
    void (*done)(struct worker_count *count);
};
void worker_count_clients(struct worker *worker, struct worker_count *count);

/* An export that is in no set any more: `done` is called when its last client of this worker has
 * gone and its pipeline here is given back, and once more when it was hurried and that has been
 * seen. */
struct worker_leave {
    struct loop_message message, hurry;
    struct worker *worker;
    struct export *export;
    struct io_event detached;
    bool hurried, detaching;
    struct worker_leave *next; /* of worker->leaving */
    void (*done)(struct worker_leave *leave);
};
void worker_leave_export(struct worker *worker, struct worker_leave *leave);
/* At most once, before `done` has been called for the last time: its clients are told to go as at
 * the end of the server. */
void worker_hurry_export(struct worker_leave *leave);

/* The worker's thread: a connection has ended. */
void worker_exports_connection_ended(struct worker *worker);

#endif
