/* A worker at work: the thread on which its loop runs, how clients come to it and how it ends. */
#ifndef NBDCRYPT_WORKER_THREAD_H
#define NBDCRYPT_WORKER_THREAD_H

#include <pthread.h>

#include "server/access/places.h"
#include "server/connection/fair-share.h"
#include "server/connection/memory-pressure.h"
#include "server/connection/stall-watch.h"
#include "server/connection/standing-watch.h"
#include "server/connection/worker.h"

struct worker_thread_settings {
    struct worker_settings worker;
    unsigned stall_timeout_ms; /* 0: none */
    void *owner;               /* for whoever gets `ended` */
    struct loop *main_loop;    /* where `ended` is delivered */
    struct io_event ended; /* copied; fires on main_loop when a worker that was shut down has let
                            * its last connection go */
};

struct worker_thread {
    struct worker worker;
    struct memory_pressure pressure;
    struct fair_share share;
    struct stall_watch stall;
    struct standing_watch standing;
    struct io_event empty, connection_ended, terms_changed; /* of the worker */
    void *owner;
    struct loop *main_loop;
    struct loop_message ended;    /* to main_loop */
    struct loop_message shutdown; /* from the main thread */
    pthread_t thread;
};

/* Starts the thread; returns when its loop is ready, or with the reason why not. */
NODISCARD int worker_thread_create(struct worker_thread **out,
                                   const struct worker_thread_settings *settings,
                                   struct error *err);
/* Main thread: hands a connected socket over; `peer` and `place` are copied. */
void worker_thread_connect(struct worker_thread *thread, int fd, const struct peer *peer,
                           const struct place *place);
/* Main thread: hands over the socket of a client for whom there is no place, to be told why. */
void worker_thread_turn_away(struct worker_thread *thread, int fd, const struct peer *peer,
                             enum place_result why);
/* Main thread, once: answers what is in flight, lets the clients go; `ended` follows. */
void worker_thread_shutdown(struct worker_thread *thread);
/* After `ended`: joins the thread.  False: something that was abandoned still uses the memory of
 * this worker, which must not be destroyed, and the process has to end by _exit(). */
NODISCARD bool worker_thread_join(struct worker_thread *thread);
/* After worker_thread_join(): frees everything. */
void worker_thread_destroy(struct worker_thread *thread);

#endif
