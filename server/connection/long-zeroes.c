#include "server/connection/long-zeroes.h"

#include "server/connection/piece.h"

#define TURN_FRAGMENTS 8u /* that it begins before others have their turn */

static void run(struct loop_task *task);
static void come_again(struct io_event *ev, int result);
static void limit_passed(struct io_event *ev, int result);

void long_zeroes_init(struct long_zeroes *zeroes, const struct throttle *throttle,
                      const struct limits *limits, long_zeroes_issue_fn *issue,
                      struct loop_task *done)
{
    *zeroes = (struct long_zeroes){
        .loop = throttle->loop, .issue = issue, .done = done, .limits = limits
    };
    zeroes->end = &zeroes->first;
    zeroes->task.fn = run;
    zeroes->message.event.fn = come_again;
    throttle_init_parts(&zeroes->parts, throttle, limit_passed);
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

/* The first fragment was paid for with the command. */
static bool is_free(const struct long_zeroes *zeroes, const struct command *command)
{
    return zeroes->hurries || !export_is_limited(zeroes->parts.export) ||
           command->issued_bytes == 0 || command->op != REQUEST_ZERO;
}

static bool may_issue(struct long_zeroes *zeroes)
{
    const struct command *command = zeroes->first;

    if (!is_free(zeroes, command))
        return throttle_pass_part(&zeroes->parts, command->issued_bytes,
                                  piece_next(zeroes->limits, command).length_bytes);
    throttle_end(&zeroes->parts);
    return true;
}

static bool issue_one(struct long_zeroes *zeroes)
{
    bool goes_on = zeroes->first->issued_bytes > 0;

    if (!may_issue(zeroes))
        return false;
    if (zeroes->issue(zeroes, zeroes->first))
        return true;
    zeroes->parts.paid = goes_on;
    return false;
}

/* Where the backend completes inline there is always room for one more fragment: then the loop
 * looks at what else has come before it goes on. */
static void run(struct loop_task *task)
{
    struct long_zeroes *zeroes = container_of(task, struct long_zeroes, task);
    unsigned begun = 0;

    zeroes->issuing = true;
    while (zeroes->first != NULL && begun < TURN_FRAGMENTS && issue_one(zeroes))
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

static void limit_passed(struct io_event *ev, int result)
{
    struct long_zeroes *zeroes = container_of(ev, struct long_zeroes, parts.timer.event);

    (void)result;
    zeroes->parts.running = false;
    loop_defer(zeroes->loop, &zeroes->task);
}

void long_zeroes_hurry(struct long_zeroes *zeroes)
{
    zeroes->hurries = true;
    throttle_end(&zeroes->parts);
}

void long_zeroes_remove(struct long_zeroes *zeroes, struct command *command)
{
    struct command **link = &zeroes->first;

    if (command == zeroes->first) {
        throttle_end(&zeroes->parts);
        zeroes->parts.paid = false;
    }
    while (*link != command)
        link = &(*link)->next;
    *link = command->next;
    if (zeroes->end == &command->next)
        zeroes->end = link;
    command->long_zeroes = false;
    command->issued_bytes = command->request.length_bytes;
}
