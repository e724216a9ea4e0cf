/* The transmission phase of one connection: commands in, replies out.
 *
 *   receive:  header -> check -> { slots and buffer -> (payload) -> layer_submit }*
 *   answer:   fragment_done -> outbox: what goes on the wire -> one gathered send per batch
 *
 * What is long without having data goes aside (long-zeroes.h), and so does a long read whose
 * extents are looked at first (sparse-read.h).  When slots or
 * buffers run out, the connection stops receiving and waits in worker->parked: back-pressure, never
 * growth. */
#ifndef NBDCRYPT_TRANSMISSION_H
#define NBDCRYPT_TRANSMISSION_H

#include "server/connection/command-record.h"
#include "server/connection/conversation.h"
#include "server/connection/holdings.h"
#include "server/connection/long-zeroes.h"
#include "server/connection/nbd-command-check.h"
#include "server/connection/outbox.h"
#include "server/connection/sparse-read.h"
#include "server/connection/throttle.h"

/* Commands that a connection begins before others have their turn. */
#define TRANSMISSION_TURN_COMMANDS 32u

enum receive_step {
    RECEIVE_HEADER,  /* ask for the next header */
    RECEIVE_COMMAND, /* it is there */
    RECEIVE_ISSUE,   /* `current` has fragments to issue */
    RECEIVE_PAYLOAD, /* the payload of `receiving` is there */
    RECEIVE_QUERY,   /* what the BLOCK_STATUS `current` is about is there */
    RECEIVE_DISCARD, /* payload of a refused command: read and forgotten */
    RECEIVE_FORGET,  /* it was told that the server goes: what it still sends is read, and that is
                        all */
    RECEIVE_END,     /* nothing is read any more */
};

struct transmission {
    const struct conversation *talk;
    struct io_event *ended;
    struct worker *worker;
    struct transport *transport;
    struct layer *top;
    const struct export *export;
    struct command_terms terms;
    struct command_record record; /* on the board */

    /* Receiving. */
    struct io_event recv_done;
    enum receive_step step;
    bool recv_pending;
    uint64_t receives; /* that were pending and have ended: says whether the client goes on */
    struct command *current;
    struct fragment *receiving;
    uint32_t discard_bytes;
    uint32_t header_bytes;
    uint8_t header[COMMAND_QUERY_BYTES_MAX]; /* or the payload of a BLOCK_STATUS */
    unsigned turn_commands;                  /* that may still begin in this turn */
    struct loop_message turn_message;        /* the next turn */
    unsigned awaited; /* events of this and of the throttle that are to come */
    struct throttle throttle;
    struct waiter waiter; /* in worker->parked */
    bool receive_waits;   /* it is receiving that waits there */

    /* What is under way. */
    struct flusher flusher;
    struct holdings holds;
    struct long_zeroes zeroes;
    struct command *sparse, **sparse_end; /* that were looked at, and have parts to issue */
    struct sparse_knowledge sparse_knowledge;
    bool tells_holes; /* there may be sparse reads */

    /* Answering. */
    struct loop_task flush_task;
    unsigned errors_logged;
    uint64_t share_sends;               /* fair-share.c's */
    uint64_t sends_seen, receives_seen; /* these three are memory-pressure.c's */
    unsigned stalled_ticks;

    /* The end. */
    bool suspended;     /* no command is begun */
    bool held_up;       /* by that: a header is there */
    bool deaf;          /* what comes from now on is not answered */
    bool finished;      /* the client has been told that nothing follows */
    bool left_in_order; /* the client went when all was answered */
    bool aborted;       /* replies are dropped */
    struct outbox outbox;
};

/* Begins; talk->export and ->negotiated say what was agreed on.  `ended` fires when it has ended
 * and nothing of it is in flight, with 0 if it was cut; the one who hears it frees it.  NULL: no
 * memory (or the pipeline could not be attached, which is logged). */
struct transmission *transmission_start(struct conversation *talk, struct io_event *ended);
/* Answers what is in flight, and tells the client that nothing follows.  What has not begun is not
 * answered: ESHUTDOWN would be an error to the users of a client that would otherwise ask once more
 * when it has connected again, as Linux and QEMU do. */
void transmission_shutdown(struct transmission *transmission);
/* Of one that is `suspended`: it goes on, with a command that came meanwhile. */
void transmission_resume(struct transmission *transmission);
/* The client owes us the rest of what it has begun. */
static inline bool transmission_is_within_request(const struct transmission *t)
{
    if (!t->recv_pending || t->step == RECEIVE_FORGET || t->step == RECEIVE_END)
        return false;
    return t->step != RECEIVE_COMMAND || t->transport->ops->has_begun(t->transport);
}
/* What a client still sends that is not heard any more does not count: it might go on asking for
 * ever. */
static inline bool transmission_has_heard_all(const struct transmission *t)
{
    if (t->step == RECEIVE_FORGET)
        return true;
    return t->step == RECEIVE_COMMAND && (t->deaf || !t->transport->ops->has_unread(t->transport));
}
/* Ends it without further answers; `ended` follows. */
void transmission_abort(struct transmission *transmission);
void transmission_free(struct transmission *transmission);
/* Lets those that wait for slots or buffers try again, at most so many, in order. */
void transmission_unpark(struct worker *worker, unsigned most);
/* Answers ENOMEM to what those ask for that wait and have nothing that could come back. */
void transmission_refuse_parked(struct worker *worker);

/* ---- between transmission.c, transmission-aside.c and transmission-waiting.c ---- */

/* The payload of a refused command has to be read before the answer makes sense.  False: it is
 * longer than any may be, which ends the connection. */
bool transmission_begin_discard(struct transmission *transmission) __attribute__((cold));
/* Answers a command that needs nothing of the pipeline.  False: there is no room for it now. */
bool transmission_answer_at_once(struct transmission *transmission, struct command *command);
/* There may be room for what it waits for. */
void transmission_try_again(struct transmission *transmission);
/* There is none. */
void transmission_wait_for_room(struct transmission *transmission);
void transmission_submit(struct transmission *transmission, struct fragment *fragment);
/* Nothing of it is in flight or queued. */
void transmission_give_back(struct command *command);

/* Whether a long command, which has been checked, goes on by itself from now on, while those behind
 * it are received.  A READ only where it tells_holes. */
bool transmission_set_aside(struct transmission *transmission, struct command *command);
/* Of the sparse reads: there may be room for one more part; ... */
void transmission_issue_sparse(struct transmission *transmission);
/* ... this one has failed: no more of it is issued; ... */
void transmission_remove_sparse(struct transmission *transmission, struct command *command);
/* ... and nobody wants them any more. */
void transmission_abandon_sparse(struct transmission *transmission);

#endif
