/* What a worker has: its loop, its buffers, its connections and its own pipeline of every export.
 * The data path shares nothing between workers but the range lock.  The thread on which it is used
 * is server/serve/worker-thread.h. */
#ifndef NBDCRYPT_WORKER_H
#define NBDCRYPT_WORKER_H

#include <stdatomic.h>

#include "server/connection/waiting-line.h"
#include "server/export/export-set.h"
#include "server/loop/buffer.h"
#include "server/tls/tls.h"
#include "server/transport/tls-buffer.h"

struct board;
struct board_worker_row;
struct connection;
struct places;
struct request_pool;
struct worker_leave;

struct worker_settings {
    const struct board *board;        /* must outlive the worker */
    const struct export_set *exports; /* must outlive the worker, or until it has the next one */
    struct tls *tls;                  /* must outlive the worker; NULL: no TLS */
    struct places *places;            /* the same */
    unsigned index, worker_count;
    unsigned handshake_timeout_ms;
    unsigned drain_max_ms;      /* for clients that are slow when the server goes; 0: no limit */
    uint64_t buffers_max_bytes; /* this worker's part of --memory-max */
    bool no_multi_conn; /* a client can't count on several connections: it is not told of them */
    bool no_extended_headers;
    unsigned busy_wait_us; /* of the loop: busy-wait.h */
};

/* Of these, what can change while it works. */
struct worker_terms {
    enum tls_mode tls_mode;
    unsigned handshake_timeout_ms, drain_max_ms, stall_timeout_ms;
    uint64_t buffers_max_bytes;
    bool no_multi_conn, no_extended_headers;
};

struct worker {
    unsigned index, worker_count;
    const struct board *board;
    struct board_worker_row *row; /* its own */
    struct loop_task tell;        /* what is told of it once a batch */
    struct loop *loop;
    struct buffer_pool *buffers;
    struct request_pool *requests;
    const struct export_set *exports;
    struct export_part *parts;    /* the pipelines that are here */
    struct worker_leave *leaving; /* those that go: worker-exports.h */
    const struct export *left;    /* whose client has gone last; perhaps NULL */
    struct tls *tls;              /* NULL: no TLS */
    struct places *places;
    struct tls_buffers tls_buffers;
    uint64_t buffers_max_bytes;
    unsigned handshake_timeout_ms, drain_max_ms, busy_wait_us;
    struct connection *connections; /* list */
    struct waiting_line parked;     /* transmissions that wait for a slot or buffer */
    struct loop_task unpark;        /* transmission.c's */
    unsigned attached;              /* connections that have an export */
    unsigned lacking;               /* of these, those in `parked` for lack of slots or buffers */
    enum tls_mode tls_mode;
    bool has_tls_mode; /* else it is that of `tls` */
    bool shutting_down, no_multi_conn, no_extended_headers;
    bool abandoned; /* it ended beside connections of which something is still calculated */
    /* Raised by who hands clients over, lowered by this worker. */
    atomic_uint connection_count, surplus_count;

    /* What its owner hears of; both are set before the first connection. */
    struct io_event *connection_ended; /* one is gone, perhaps the last one of an export */
    struct io_event *room_wanted;      /* somebody begins to wait for slots or buffers */
    struct io_event *crowded;          /* a batch ends, and several connections have an export */
    struct io_event *terms_changed;    /* or NULL; `result` is the stall timeout, in ms */
    struct io_event *empty;            /* shutting_down, and no connection is left */
    struct io_event *certified; /* a client has a certificate that is over in so many seconds */
};

/* Takes the settings over; nothing is made yet.  It is on the board when it is set up. */
void worker_init(struct worker *worker, const struct worker_settings *settings);
/* The same for its part of the board alone. */
void worker_join_board(struct worker *worker, const struct board *board);
/* On the worker's thread, to which the loop belongs: makes what it has. */
NODISCARD int worker_set_up(struct worker *worker, struct error *err);
/* On the worker's thread: what holds from now on. */
void worker_set_terms(struct worker *worker, const struct worker_terms *terms);
/* How clients have to come now. */
static inline enum tls_mode worker_tls_mode(const struct worker *worker)
{
    if (worker->has_tls_mode)
        return worker->tls_mode;
    return worker->tls != NULL ? worker->tls->mode : TLS_OFF;
}
/* On the worker's thread, when no connection is left, or after worker_set_up() failed: frees all
 * but the loop. */
void worker_tear_down(struct worker *worker);

/* The worker's thread: one connection is gone (or could not be taken); whether it was surplus. */
void worker_connection_ended(struct worker *worker, bool surplus);
/* The same for one that is still there, and will be when the worker has ended. */
void worker_connection_abandoned(struct worker *worker, bool surplus);
/* `empty` fires if it is so: shutting_down has been set. */
void worker_end_if_empty(struct worker *worker);

#endif
