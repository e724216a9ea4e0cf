/* What the parts of a connection share: remote-link.c (its life, the socket and the clock),
 * remote-link-requests.c (from `waiting` to the answer) and remote-link-outage.c (from the loss of
 * the connection to the next one).  All of it on the thread of the link's loop. */
#ifndef NBDCRYPT_REMOTE_LINK_INTERNAL_H
#define NBDCRYPT_REMOTE_LINK_INTERNAL_H

#include "plugins/remote/remote-dial-thread.h"
#include "plugins/remote/remote-link.h"
#include "plugins/remote/remote-queue.h"
#include "plugins/remote/remote-stream.h"
#include "server/transport/tls-buffer.h"

struct remote_link {
    struct remote_server *server;
    struct loop *loop;
    void (*answer)(struct request *req, int error);
    void (*give_over)(struct request *req);

    struct remote_stream stream; /* its transport is NULL: not connected */
    struct tls_buffers tls_buffers;
    unsigned generation; /* of the ledger when connecting began */
    bool was_connected;  /* once at least */
    bool abandoned;      /* the server does not accept it: give_over() gets all */
    struct error reason; /* why the stream has failed; "": the server closed it */

    struct remote_queue waiting;
    struct remote_queue held; /* FLUSHes that wait for the one that is under way */
    bool flushing;            /* one is */
    struct remote_slot slots[REMOTE_SLOTS];
    struct remote_slot *free;
    struct remote_slot *finished, **finished_end;
    unsigned in_flight;
    uint64_t commands; /* so far: for cookies */

    /* On the loop. */
    struct loop_task work;
    struct loop_timer tick, farewell;
    bool tick_armed, farewell_armed;

    struct remote_attempt *attempt; /* to connect; NULL: none is made */
    struct error dial_error;
    bool stopping;

    /* The outage. */
    uint64_t trouble_since_ms; /* 0: none; ends with an answer */
    uint64_t dial_at_ms;
    unsigned pause_ms;
    bool failure_told; /* why connecting failed */
    bool down;         /* requests fail at once */
};

bool remote_link_is_primary(const struct remote_link *link);
bool remote_link_is_connected(const struct remote_link *link);
/* The connection is to be dropped, and what it has not answered to be sent again: why, for a
 * message. */
void remote_link_distrusts(struct remote_link *link, const char *reason);
/* Begins to use a connection, which is taken over.  -ENOMEM: it stays the caller's. */
NODISCARD int remote_link_use(struct remote_link *link, struct remote_connection *connection,
                              struct error *err);
/* Ends the loop_run() of remote_link_destroy() once nothing of the link is in flight. */
void remote_link_stop_loop_if_idle(struct remote_link *link);

/* ---- requests ---- */

/* A reply has come: noted, until remote_link_reap(). */
void remote_link_finished(struct remote_link *link, struct remote_slot *slot);
/* Sends what waits, as long as there are slots. */
void remote_link_send_waiting(struct remote_link *link);
/* Passes on what has been finished. */
void remote_link_reap(struct remote_link *link);
/* While the server is away: a FLUSH that need not wait for it is answered; false: `req` is no
 * such. */
bool remote_link_answer_flush(struct remote_link *link, struct request *req);
/* Whether the primary's connection is another one than when this one was begun, or none: then
 * nobody knows whether the server is the same, and this one is to be dropped. */
bool remote_link_drop_if_stale(struct remote_link *link);
void remote_link_slot_release(struct remote_link *link, struct remote_slot *slot);
/* No FLUSH is under way any more: those that were held wait like all others. */
void remote_link_flush_ended(struct remote_link *link);

/* ---- the outage ---- */

/* The connection is gone or not wanted any more: what it has not answered waits.  To be called
 * again when nothing of it is in flight any more, if it is not then. */
void remote_link_lose(struct remote_link *link);
/* Requests fail, now and until the server is back. */
void remote_link_give_up(struct remote_link *link);
void remote_link_trouble_begins(struct remote_link *link);
/* Whether requests have waited for as long as they were told to. */
bool remote_link_out_of_patience(const struct remote_link *link);
bool remote_link_may_dial(const struct remote_link *link);
/* Begins to connect. */
void remote_link_dial(struct remote_link *link);

#endif
