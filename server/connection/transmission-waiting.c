#include "server/connection/transmission.h"

#include <errno.h>

#include "server/base/log.h"
#include "server/connection/worker.h"

bool transmission_begin_discard(struct transmission *t)
{
    uint64_t payload_bytes = command_payload_bytes(&t->current->request, t->terms.extended);

    if (t->terms.extended && payload_bytes > NBD_PAYLOAD_BYTES_MAX) {
        conversation_log(t->talk, LOG_NOTICE, "announced a payload of more than 32 MiB; dropped");
        transmission_abort(t);
        return false;
    }
    t->discard_bytes = (uint32_t)payload_bytes;
    if (t->discard_bytes > 0)
        t->step = RECEIVE_DISCARD;
    return true;
}

/* NULL: all who waited have had their turn. */
static struct transmission *unpark_next(struct worker *worker, const struct waiter **last)
{
    struct waiter *waiter = waiting_line_next(&worker->parked, last);
    struct transmission *t =
        waiter != NULL ? container_of(waiter, struct transmission, waiter) : NULL;

    if (t != NULL)
        command_record_parked(&t->record, holdings_go_on(&t->holds));
    return t;
}

/* Who still finds nothing waits again, behind the others. */
void transmission_unpark(struct worker *worker, unsigned most)
{
    const struct waiter *last = worker->parked.last;
    struct transmission *t;

    for (unsigned tried = 0; tried < most && (t = unpark_next(worker, &last)) != NULL; tried++)
        transmission_try_again(t);
}

/* The command that `t` is about to receive the rest of, or to begin. */
static void refuse_current(struct transmission *t)
{
    struct command *command = t->current;

    if (command == NULL || command->issued_bytes > 0) { /* nobody to tell, or half was told */
        conversation_log(t->talk, LOG_WARNING, "not enough memory to go on; dropped");
        transmission_abort(t);
        return;
    }
    if (command->error == 0) /* else its payload has been read away */
        (void)transmission_begin_discard(t);
    command->error = ENOMEM;
    command->refusal = "the server has no memory for it now";
}

static void refuse_zeroes(struct transmission *t)
{
    struct command *command = t->zeroes.first;

    if (command->fragments_held > 0)
        return;
    long_zeroes_remove(&t->zeroes, command);
    command->error = ENOMEM;
    if (!transmission_answer_at_once(t, command))
        transmission_abort(t);
}

static void refuse_sparse(struct transmission *t)
{
    struct command *command = t->sparse;

    if (command->fragments_held > 0)
        return;
    transmission_remove_sparse(t, command);
    command->error = ENOMEM;
    command->error_offset_bytes = command->request.offset_bytes;
    if (!transmission_answer_at_once(t, command))
        transmission_abort(t);
}

void transmission_refuse_parked(struct worker *worker)
{
    const struct waiter *last = worker->parked.last;
    struct transmission *t;

    while ((t = unpark_next(worker, &last)) != NULL) {
        if (t->zeroes.first != NULL)
            refuse_zeroes(t);
        if (!t->aborted && t->sparse != NULL)
            refuse_sparse(t);
        if (!t->aborted && t->receive_waits && t->holds.bytes == 0)
            refuse_current(t);
        if (!t->aborted)
            transmission_try_again(t);
    }
}
