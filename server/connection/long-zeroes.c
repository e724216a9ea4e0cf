#include "server/connection/long-zeroes.h"

#define TURN_FRAGMENTS 8u /* that it begins before others have their turn */

static void run(struct loop_task *task);
static void come_again(struct io_event *ev, int result);

void long_zeroes_init(struct long_zeroes *zeroes, struct loop *loop, long_zeroes_issue_fn *issue,
                      struct loop_task *done)
{
    *zeroes = (struct long_zeroes){ .loop = loop, .issue = issue, .done = done };
    zeroes->end = &zeroes->first;
    zeroes->task.fn = run;
    zeroes->message.event.fn = come_again;
}

bool long_zeroes_take(const struct command *command, const struct limits *limits)
{
    const uint32_t ops = OP_BIT(REQUEST_ZERO) | OP_BIT(REQUEST_TRIM);
    bool writes = command->op == REQUEST_ZERO && limits->zero_needs_data;

    return command->error == 0 && ops & OP_BIT(command->op) &&
           command->request.length_bytes > (writes ? BUFFER_BYTES_MAX : REQUEST_BYTES_MAX);
}

void long_zeroes_add(struct long_zeroes *zeroes, struct command *command)
{
    command->long_zeroes = true;
    command->next = NULL;
    *zeroes->end = command;
    zeroes->end = &command->next;
    loop_defer(zeroes->loop, &zeroes->task);
}

/* Where the backend completes inline there is always room for one more fragment: then the loop
 * looks at what else has come before it goes on. */
static void run(struct loop_task *task)
{
    struct long_zeroes *zeroes = container_of(task, struct long_zeroes, task);
    unsigned begun = 0;

    zeroes->issuing = true;
    while (zeroes->first != NULL && begun < TURN_FRAGMENTS && zeroes->issue(zeroes, zeroes->first))
        begun++;
    zeroes->issuing = false;
    if (zeroes->first == NULL)
        loop_defer(zeroes->loop, zeroes->done);
    if (zeroes->first != NULL && begun == TURN_FRAGMENTS && !zeroes->posted) {
        zeroes->posted = true;
        loop_post(zeroes->loop, &zeroes->message);
    }
}

static void come_again(struct io_event *ev, int result)
{
    struct long_zeroes *zeroes = container_of(ev, struct long_zeroes, message.event);

    (void)result;
    zeroes->posted = false;
    loop_defer(zeroes->loop, &zeroes->task);
}

void long_zeroes_remove(struct long_zeroes *zeroes, struct command *command)
{
    struct command **link = &zeroes->first;

    while (*link != command)
        link = &(*link)->next;
    *link = command->next;
    if (zeroes->end == &command->next)
        zeroes->end = link;
    command->long_zeroes = false;
    command->issued_bytes = command->request.length_bytes;
}
