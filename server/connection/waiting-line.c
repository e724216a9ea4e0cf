#include "server/connection/waiting-line.h"

void waiting_line_join(struct waiting_line *line, struct waiter *waiter)
{
    *waiter = (struct waiter){ .waits = true, .previous = line->last };
    if (line->last != NULL)
        line->last->next = waiter;
    else
        line->first = waiter;
    line->last = waiter;
    line->count++;
}

void waiting_line_leave(struct waiting_line *line, struct waiter *waiter)
{
    if (waiter->next != NULL)
        waiter->next->previous = waiter->previous;
    else
        line->last = waiter->previous;
    if (waiter->previous != NULL)
        waiter->previous->next = waiter->next;
    else
        line->first = waiter->next;
    line->count--;
    waiter->waits = false;
}

struct waiter *waiting_line_next(struct waiting_line *line, const struct waiter **last)
{
    struct waiter *waiter = line->first;

    if (*last == NULL || waiter == NULL)
        return NULL;
    if (waiter == *last)
        *last = NULL;
    waiting_line_leave(line, waiter);
    return waiter;
}
