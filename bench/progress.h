/* A line on the terminal that tells how far a run is; nothing where standard error is no
 * terminal. */
#ifndef NBDCRYPT_PROGRESS_H
#define NBDCRYPT_PROGRESS_H

#include <stdbool.h>

struct progress {
    bool on;    /* standard error is a terminal */
    bool shown; /* there is a line to be removed */
};

void progress_init(struct progress *progress);
/* Replaces the line. */
void progress_show(struct progress *progress, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Removes it, before anything else is printed. */
void progress_clear(struct progress *progress);

#endif
