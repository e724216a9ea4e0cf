/* The requests of a link, from `waiting` to the answer, and what makes one wait again.
 *
 *     take -> waiting -> slots (in flight) -> reap: answer
 *               ^  ^         |        |
 *               |  +- more --|--------+      the next piece, or the FLUSH that makes it durable
 *               +--- lost ---+               the connection is gone
 *
 * Knows the connection only as a stream that takes commands.  Who owns it connects, and decides
 * how long requests may wait.  All of it on the thread of the link's loop. */
#ifndef NBDCRYPT_REMOTE_REQUESTS_H
#define NBDCRYPT_REMOTE_REQUESTS_H

#include "plugins/remote/remote-queue.h"
#include "plugins/remote/remote-server.h"
#include "plugins/remote/remote-slots.h"
#include "plugins/remote/remote-stream.h"

struct remote_requests {
    struct remote_server *server;
    struct remote_stream *stream;
    bool primary;        /* see remote-ledger.h */
    unsigned generation; /* of the ledger when connecting began */
    void (*answer)(struct request *req, int error);

    struct remote_queue waiting;
    struct remote_queue held; /* FLUSHes that wait for the one that is under way */
    bool flushing;            /* one is */
    struct remote_slots slots;
    uint64_t extents_most_bytes[META_CONTEXTS_MAX]; /* that are asked for at once; 0: any number */
    struct remote_sync_waiter waiter; /* for those that are held; who owns it gives it its loop */
};

void remote_requests_init(struct remote_requests *requests, struct remote_server *server,
                          struct remote_stream *stream, bool primary,
                          void (*answer)(struct request *req, int error));

/* A new one.  While the server is away a FLUSH that need not wait for it is answered: false. */
bool remote_requests_take(struct remote_requests *requests, struct request *req);
bool remote_requests_are_waiting(const struct remote_requests *requests);
bool remote_requests_are_none(const struct remote_requests *requests);

/* Sends what waits, as long as there are slots. */
void remote_requests_send(struct remote_requests *requests);
/* Whether some wait that could be sent. */
bool remote_requests_can_send(const struct remote_requests *requests);
/* Passes on what has been finished (remote_slots_finish()).  Whether the server has answered
 * something. */
bool remote_requests_reap(struct remote_requests *requests);

/* Whether the primary's connection is another one than when this one was begun, or none: then
 * nobody knows whether the server is the same, and the stream is made to fail. */
bool remote_requests_drop_if_stale(struct remote_requests *requests);
/* The connection is gone, and the stream is closed: what was not answered waits again, and the
 * ledger is told. */
void remote_requests_lost(struct remote_requests *requests);
/* All that waits: somebody else's from now on. */
struct remote_queue remote_requests_give_back(struct remote_requests *requests);

#endif
