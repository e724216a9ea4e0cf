/* A worker: a thread with its loop, its buffers, its connections and its own pipeline of
 * every export.  The data path shares nothing between workers but the range lock. */
#ifndef NBDCRYPT_WORKER_H
#define NBDCRYPT_WORKER_H

#include <pthread.h>
#include <stdatomic.h>

#include "server/loop/buffer.h"
#include "server/connection/connection.h"
#include "server/export/export-table.h"
#include "server/connection/memory-pressure.h"
#include "server/transport/tls-buffer.h"

struct request_pool;
struct tls;

struct worker_settings {
    struct export_table *exports; /* must outlive the worker */
    struct tls *tls;              /* the same; NULL: no TLS */
    struct places *places;        /* the same */
    unsigned index, worker_count;
    unsigned handshake_timeout_ms;
    unsigned stall_timeout_ms;  /* 0: none */
    unsigned drain_max_ms;      /* for clients that are slow when the server goes; 0: no limit */
    uint64_t buffers_max_bytes; /* this worker's part of --memory-max */
    bool no_multi_conn;    /* a client can't count on several connections: it is not told of them */
    unsigned busy_wait_us; /* of the loop: busy-wait.h */
    struct loop *main_loop; /* where `ended` is delivered */
    struct io_event ended;  /* copied; fires on main_loop when a shut-down worker has let
                             * its last connection go */
};

struct worker {
    unsigned index, worker_count;
    struct loop *loop;
    struct buffer_pool *buffers;
    struct request_pool *requests;
    struct export_table *exports;
    struct tls *tls; /* NULL: no TLS */
    struct places *places;
    struct tls_buffers tls_buffers;
    unsigned handshake_timeout_ms, drain_max_ms, busy_wait_us;
    struct connection *connections;            /* list */
    struct transmission *parked, *parked_last; /* waiting for a slot or buffer, in order */
    struct loop_task unpark;
    struct memory_pressure pressure;
    struct stall_watch stall;
    bool shutting_down, no_multi_conn;
    bool abandoned; /* it ended beside connections of which something is still calculated */
    /* Raised by worker_connect() and worker_turn_away(), lowered by this worker. */
    atomic_uint connection_count, surplus_count;

    struct loop *main_loop;
    struct loop_message ended;    /* to main_loop */
    struct loop_message shutdown; /* from the main thread */
    pthread_t thread;
};

/* Starts the thread; returns when its loop is ready, or with the reason why not. */
NODISCARD int worker_create(struct worker **out, const struct worker_settings *settings,
                            struct error *err);
/* Main thread: hands a connected socket over; `peer` and `place` are copied. */
void worker_connect(struct worker *worker, int fd, const struct peer *peer,
                    const struct place *place);
/* Main thread: hands over the socket of a client for whom there is no place, to be told why. */
void worker_turn_away(struct worker *worker, int fd, const struct peer *peer,
                      enum place_result why);
/* Main thread, once: answers what is in flight, lets the clients go; `ended` follows. */
void worker_shutdown(struct worker *worker);
/* After `ended`: joins the thread.  False: something that was abandoned still uses the memory of
 * this worker, which must not be destroyed, and the process has to end by _exit(). */
NODISCARD bool worker_join(struct worker *worker);
/* After worker_join(): frees everything. */
void worker_destroy(struct worker *worker);

/* The worker's thread: one connection is gone (or could not be taken); whether it was surplus. */
void worker_connection_ended(struct worker *worker, bool surplus);
/* The same for one that is still there, and will be when the worker has ended. */
void worker_connection_abandoned(struct worker *worker, bool surplus);

#endif
