/* A command of a connection that is held back by a limit: only its header has been received, and
 * nothing is, until a timer of the worker has fired.  The connection holds no slot and no buffer
 * meanwhile.  FLUSH and DISC wait for nothing but for what came before them. */
#ifndef NBDCRYPT_THROTTLE_H
#define NBDCRYPT_THROTTLE_H

#include "server/connection/command-record.h"
#include "server/connection/conversation.h"
#include "server/connection/nbd-command-check.h"
#include "server/export/export.h"

#define THROTTLE_SETS 3u /* of the export, of its group, and of the client */

struct throttle {
    struct loop *loop;
    struct export *export;
    const struct command_terms *terms;   /* NULL: it holds back parts */
    const struct command_record *record; /* where it is seen; NULL: it holds back parts */
    struct limit_set *client;            /* its own limits; NULL: there was no memory for them */
    struct loop_timer timer;
    bool running;        /* its event is to come */
    bool paid;           /* this command has been let through, and waits for something else */
    uint64_t since_ns;   /* it waits; 0: it does not */
    uint64_t held_ns;    /* since when the last one waited that was let through; 0: it did not */
    uint64_t due_ns;     /* when it is its turn */
    unsigned changes;    /* of the limits, when that was calculated */
    bool changing;       /* there were some since the look before */
    uint64_t paid_bytes; /* of a part: see limit_claim_init() */
    unsigned claim_count;
    struct limit_claim claims[THROTTLE_SETS];
};

/* `terms` must outlive it.  `again`: the event of its timer.  It is the time to ask again for the
 * same command. */
void throttle_init(struct throttle *throttle, const struct conversation *talk,
                   const struct command_terms *terms, const struct command_record *record,
                   void (*again)(struct io_event *ev, int result));
/* The timer is not running. */
void throttle_free(struct throttle *throttle);
/* Whether the command with this header, which is one, may begin now.  If not, the timer has been
 * started. */
bool throttle_pass(struct throttle *throttle, const uint8_t *header);
/* For the next part of the reply to a BLOCK_STATUS, which is an operation: whether it may be asked
 * for.  Nothing waits for it, for a reply may always end early. */
bool throttle_takes_more(struct throttle *throttle) __attribute__((cold));
/* For the parts behind the first one of a WRITE_ZEROES that goes aside, under the limits of
 * `whole`, which must outlive it. */
void throttle_init_parts(struct throttle *parts, const struct throttle *whole,
                         void (*again)(struct io_event *ev, int result));
/* Whether the next part, of so many bytes behind `from_bytes`, may begin now.  If not, the timer is
 * running. */
bool throttle_pass_part(struct throttle *parts, uint64_t from_bytes, uint64_t length_bytes)
    __attribute__((cold));
/* Nothing waits for a limit any more; a timer that is running ends soon. */
void throttle_end(struct throttle *throttle);

#endif
