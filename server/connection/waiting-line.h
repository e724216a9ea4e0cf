/* A line of those who wait for something, in order. */
#ifndef NBDCRYPT_WAITING_LINE_H
#define NBDCRYPT_WAITING_LINE_H

#include <stdbool.h>
#include <stddef.h>

/* A part of who waits.  Zeroed at first. */
struct waiter {
    bool waits;
    struct waiter *next, *previous; /* while it waits */
};

/* Zeroed at first. */
struct waiting_line {
    struct waiter *first, *last; /* NULL: nobody waits */
    unsigned count;
};

/* At the end of the line; it does not wait yet. */
void waiting_line_join(struct waiting_line *line, struct waiter *waiter);
/* It waits in this line, somewhere. */
void waiting_line_leave(struct waiting_line *line, struct waiter *waiter);
/* The first one, which leaves; NULL: `*last`, who was the last one when this began, has had its
 * turn, or nobody waits. */
struct waiter *waiting_line_next(struct waiting_line *line, const struct waiter **last);

#endif
