/* Commands that are long without having data: WRITE_ZEROES of more than one buffer, where the zeros
 * have to be written out, and WRITE_ZEROES and TRIM of more than REQUEST_BYTES_MAX.  They go aside,
 * and their fragments are issued one by one as earlier ones come back, while the commands behind
 * them are received.
 *
 * One command after the other.  How a fragment is issued its owner knows. */
#ifndef NBDCRYPT_LONG_ZEROES_H
#define NBDCRYPT_LONG_ZEROES_H

#include "server/block/layer.h"
#include "server/connection/nbd-command.h"
#include "server/connection/throttle.h"
#include "server/loop/loop.h"

struct long_zeroes;

/* Issues the next fragment of `command`, the first one, and takes the command out when that was the
 * last fragment of it.  False: there is no room for a fragment now. */
typedef bool long_zeroes_issue_fn(struct long_zeroes *zeroes, struct command *command);

struct long_zeroes {
    struct loop *loop;
    long_zeroes_issue_fn *issue;
    struct loop_task *done; /* deferred when there are none any more */
    const struct limits *limits;
    struct throttle parts; /* for all but the first fragment of each */
    bool hurries;          /* limits hold no more */
    struct command *first, **end;
    bool issuing;
    struct loop_task task;
    struct loop_message message; /* goes on after others had their turn */
    bool posted;
};

/* `throttle`, of the connection, and `limits`, of what is above the pipeline, must outlive it. */
void long_zeroes_init(struct long_zeroes *zeroes, const struct throttle *throttle,
                      const struct limits *limits, long_zeroes_issue_fn *issue,
                      struct loop_task *done);
/* Whether such a command, which has been checked, is one of them. */
bool long_zeroes_take(const struct command *command, const struct limits *limits);
void long_zeroes_add(struct long_zeroes *zeroes, struct command *command);
/* No more fragments of this command, which is in there, are issued. */
void long_zeroes_remove(struct long_zeroes *zeroes, struct command *command);

/* They are to end soon: no limit holds them back any more. */
void long_zeroes_hurry(struct long_zeroes *zeroes);

/* There may be room now. */
static inline void long_zeroes_go_on(struct long_zeroes *zeroes)
{
    if (zeroes->first != NULL && !zeroes->issuing)
        loop_defer(zeroes->loop, &zeroes->task);
}

/* No event of it is to come. */
static inline bool long_zeroes_are_idle(const struct long_zeroes *zeroes)
{
    return !zeroes->posted && !zeroes->task.queued && !zeroes->parts.running;
}

#endif
