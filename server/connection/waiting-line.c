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
