/* The transmission phase of one connection: commands in, replies out.
 *
 *   receive:  header -> check -> { slots and buffer -> (payload) -> layer_submit }* transmission.c
 *   answer:   fragment_done -> what goes on the wire -> one gathered send per batch    reply.c
 *
 * The two meet in fragment_done() alone.  A long WRITE_ZEROES whose zeros have to be written out
 * goes aside: its fragments are issued one by one as earlier ones come back, while the commands
 * behind it are received.  When slots or buffers run out, the connection stops
 * receiving and waits in worker->parked: back-pressure, never growth. */
#ifndef NBDCRYPT_TRANSMISSION_H
#define NBDCRYPT_TRANSMISSION_H

#include "server/connection/conversation.h"
#include "server/connection/nbd-command-check.h"
#include "server/block/flusher.h"

/* Advertised as maximum block size. */
#define TRANSMISSION_PAYLOAD_BYTES_MAX (32u * 1024u * 1024u)
#define TRANSMISSION_COMMANDS_MAX 128u                   /* per connection */
#define TRANSMISSION_HELD_BYTES_MAX (8u * 1024u * 1024u) /* buffers per connection */
#define TRANSMISSION_FRAGMENTS_MAX 4u                    /* per command */
#define TRANSMISSION_IOV_MAX 128u
#define TRANSMISSION_SEND_BYTES (1024u * 1024u) /* in one send */
/* What a connection begins before others have their turn: commands, and fragments of zeros. */
#define TRANSMISSION_TURN_COMMANDS 32u
#define TRANSMISSION_ZEROES_MAX 8u

enum receive_step {
    RECEIVE_HEADER,  /* ask for the next header */
    RECEIVE_COMMAND, /* it is there */
    RECEIVE_ISSUE,   /* `current` has fragments to issue */
    RECEIVE_PAYLOAD, /* the payload of `receiving` is there */
    RECEIVE_DISCARD, /* payload of a refused write: read and forgotten */
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

    /* Receiving. */
    struct io_event recv_done;
    enum receive_step step;
    bool recv_pending;
    uint64_t receives; /* that were pending and have ended: says whether the client goes on */
    struct command *current;
    struct fragment *receiving;
    uint32_t discard_bytes;
    uint8_t header[NBD_REQUEST_BYTES];
    unsigned turn_commands;           /* that may still begin in this turn */
    struct loop_message turn_message; /* the next turn */
    bool turn_posted;
    bool parked;        /* in worker->parked */
    bool receive_waits; /* it is receiving that waits there */
    struct transmission *next_parked, *previous_parked;

    /* WRITE_ZEROES of more than one buffer, the first one at work. */
    struct command *zeroes, **zeroes_end;
    bool zeroing; /* in zeroes_run() */
    struct loop_task zeroes_task;
    struct loop_message zeroes_message; /* goes on after others had their turn */
    bool zeroes_posted;

    /* What is under way. */
    struct flusher flusher;
    unsigned commands;
    size_t held_bytes;

    /* Answering. */
    struct io_event send_done;
    bool sending;
    uint64_t sends; /* that have ended: says whether the client takes its replies */
    uint64_t sends_seen, receives_seen; /* these three are memory-pressure.c's */
    unsigned stalled_ticks;
    struct fragment *ready, **ready_end;     /* on the wire in this order */
    struct fragment *blocked, **blocked_end; /* ready, but `stream` has the wire */
    struct command *stream;                  /* the contiguous read that is being sent */
    struct command *streams, **streams_end;  /* all contiguous reads, in order of arrival */
    uint32_t sent_of_first_bytes;
    unsigned errors_logged;
    struct loop_task flush_task;

    /* The end. */
    bool deaf;          /* what comes from now on is not answered */
    bool finished;      /* the client has been told that nothing follows */
    bool left_in_order; /* the client went when all was answered */
    bool aborted;       /* replies are dropped */
    struct iovec iov[TRANSMISSION_IOV_MAX];
};

/* Begins; talk->export and ->negotiated say what was agreed on.  `ended` fires when it has ended
 * and nothing of it is in flight, with 0; the one who hears it frees it.  NULL: no memory (or the
 * pipeline could not be attached, which is logged). */
struct transmission *transmission_start(struct conversation *talk, struct io_event *ended);
/* Answers what is in flight, refuses the rest, tells the client. */
void transmission_shutdown(struct transmission *transmission);
/* Of what it has still to send, nothing is answered: a client that asks for ever does not hold the
 * end up. */
void transmission_turn_deaf(struct transmission *transmission);
/* The client owes us the rest of what it has begun. */
bool transmission_is_within_request(const struct transmission *transmission);
/* Ends it without further answers; `ended` follows. */
void transmission_abort(struct transmission *transmission);
void transmission_free(struct transmission *transmission);
/* Lets those that wait for slots or buffers try again, at most so many, in order. */
void transmission_unpark(struct worker *worker, unsigned most);
/* Answers ENOMEM to what those ask for that wait and have nothing that could come back. */
void transmission_refuse_parked(struct worker *worker);

/* ---- between transmission.c and reply.c ---- */

void reply_init(struct transmission *transmission);
/* A request came back from the pipeline (a request_done_fn). */
void fragment_done(struct layer *owner, struct request *req);
/* Gives a fragment and its buffer back, and its command when it is the last one. */
void fragment_give_back(struct fragment *fragment);
/* No more fragments of this command, which is in transmission->zeroes, are issued. */
void transmission_zeroes_end(struct command *command);
/* The command ends without an answer: nothing of it is in flight or queued. */
void command_give_back(struct command *command);

#endif
