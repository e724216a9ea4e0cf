/* How far a copy is, for who waits: a line on a terminal, or JSON on standard output. */
#ifndef NBDCRYPT_COPY_PROGRESS_H
#define NBDCRYPT_COPY_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct copy_progress {
    const char *what;     /* "convert", for the line and the JSON */
    bool json;            /* else a line on standard error, where that is a terminal */
    uint64_t size_bytes;  /* of all */
    uint64_t start_bytes; /* done before this run */
    uint64_t start_ns, told_ns;
    uint64_t rate_bytes;               /* a second, lately; 0: not known yet */
    uint64_t rate_done_bytes, rate_ns; /* when it was measured last */
    bool shown;                        /* a line that is not ended */
};

void copy_progress_begin(struct copy_progress *progress, const char *what, bool json,
                         uint64_t size_bytes, uint64_t start_bytes);
/* So much of size_bytes is done.  Tells that once a second; `fresh`: now. */
void copy_progress_tell(struct copy_progress *progress, uint64_t done_bytes, bool fresh);
/* The line is taken away. */
void copy_progress_end(struct copy_progress *progress);

#endif
