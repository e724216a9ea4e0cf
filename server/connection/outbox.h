/* What came back from the pipeline, on its way to the client: which bytes go on the wire, in which
 * order, and one gathered send at a time.
 *
 * It belongs to a transmission, which puts fragments in and is told when the outbox is through with
 * them.  Of what is received it knows nothing.
 *
 * A read of several fragments in simple replies is a stream: header, then the data in order,
 * nothing between.  One at a time has the wire; what gets ready meanwhile waits behind it. */
#ifndef NBDCRYPT_OUTBOX_H
#define NBDCRYPT_OUTBOX_H

#include "server/block/flusher.h"
#include "server/connection/conversation.h"
#include "server/connection/nbd-command.h"

#define OUTBOX_IOV_MAX 128u
#define OUTBOX_SEND_BYTES (1024u * 1024u) /* in one send */

struct outbox;

/* Whose outbox it is, and what it hears. */
struct outbox_owner {
    struct flusher *flusher;      /* whose answers these are */
    struct loop_task *after_send; /* deferred when a send has ended, and what follows was called */
    /* A send failed, with -errno: the transport is of no use any more. */
    void (*send_failed)(struct outbox *outbox, int code);
    /* The outbox is through with it: it was sent, or nobody is to have it. */
    void (*give_fragment_back)(struct fragment *fragment);
    /* The same for a stream of which no fragment is left. */
    void (*give_command_back)(struct command *command);
    /* Asks the pipeline for what is behind command->status.told_bytes of a BLOCK_STATUS.  False:
     * there is no room for it. */
    bool (*ask_status)(struct outbox *outbox, struct command *command);
};

struct outbox {
    struct outbox_owner owner;
    const struct conversation *talk;
    struct transport *transport;
    struct io_event send_done;
    bool structured, extended; /* replies */
    bool sending;
    uint64_t sends;                      /* that have ended: does the client take its replies? */
    struct fragment *ready, **ready_end; /* on the wire in this order */
    struct fragment *blocked, **blocked_end;  /* ready, but `stream` has the wire */
    struct command *stream;                   /* the one that is being sent; NULL: none */
    struct command *streams, **streams_end;   /* all of them, in order of arrival */
    struct command *gathered, **gathered_end; /* BLOCK_STATUS of which more is asked */
    uint32_t sent_of_first_bytes;
    struct iovec iov[OUTBOX_IOV_MAX];
};

/* Zeroed before; `owner` is copied.  From here on what the transport of `talk` sends is its own. */
void outbox_init(struct outbox *outbox, const struct conversation *talk,
                 const struct outbox_owner *owner);
/* This command is a read of several fragments that needs the wire for itself: command->contiguous,
 * until it has been sent or has failed. */
void outbox_add_stream(struct outbox *outbox, struct command *command);
/* The data of a READ, which is complete with this fragment; ... */
void outbox_put_data(struct outbox *outbox, struct fragment *fragment, bool finished);
/* ... the same of a part that reads as zeros, and was not read: fragment->data_bytes of it, in
 * structured replies; ... */
void outbox_put_hole(struct outbox *outbox, struct fragment *fragment, bool finished);
/* ... the data of a stream; ... */
void outbox_put_stream(struct outbox *outbox, struct fragment *fragment);
/* ... and the answer to a command without data, or to one that failed. */
void outbox_put_end(struct outbox *outbox, struct fragment *fragment);

/* A fragment has come back; `finished`: it is the last one of its command to do so.  False: it
 * failed when its reply had begun with "success", so all that is left is to abort the connection;
 * the fragment stays with the caller.  Part of the path of each request, so it is inline. */
NODISCARD static inline bool outbox_put(struct outbox *outbox, struct fragment *fragment,
                                        bool finished)
{
    struct command *command = fragment->command;
    bool data = command->op == REQUEST_READ && command->error == 0 && fragment->data_bytes > 0;

    if (data && command->contiguous) {
        outbox_put_stream(outbox, fragment);
        return true;
    }
    if (data) {
        outbox_put_data(outbox, fragment, finished);
        return true;
    }
    if (command->header_queued)
        return false;
    command_note_epoch(command, fragment->request.epoch);
    if (finished)
        outbox_put_end(outbox, fragment);
    else
        outbox->owner.give_fragment_back(fragment);
    return true;
}

/* Something is ready, and no send is under way. */
void outbox_send_ready(struct outbox *outbox);

/* Sends what is ready, unless a send is under way.  Once per batch of completions. */
static inline void outbox_send(struct outbox *outbox)
{
    if (!outbox->sending && outbox->ready != NULL)
        outbox_send_ready(outbox);
}

/* Nobody will read the answers: gives back what is in here, but the streams of which something is
 * still in the pipeline.  Not while a send is under way. */
void outbox_drop(struct outbox *outbox);

#endif
