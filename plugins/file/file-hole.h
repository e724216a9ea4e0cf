/* A hole that is longer than what was asked for: what follows in it is told without another look.
 *
 * Who copies a sparse disk asks for 128 MiB of it at a time, say, one after the other, and a look
 * takes two changes of thread.  A hole is believed for HOLE_BELIEVED_NS, and until something is
 * written to the file by us: whoever may write it besides would have to be kept away by a lock, or
 * there is no believing.
 *
 * Written and read by all threads of loops, without a lock.  A look has a number.  Each write that
 * is done, at the latest before its answer leaves, sets `current` to 0: so that of a look that was
 * under way, and of one that was noted, nothing is believed any more. */
#ifndef NBDCRYPT_FILE_HOLE_H
#define NBDCRYPT_FILE_HOLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define HOLE_BELIEVED_NS UINT64_C(50000000)

struct file_hole {
    bool used; /* else nothing is believed; set before there are layers */
    atomic_uint looks;
    atomic_uint current; /* the look since whose beginning nothing was written; 0: there is none */
    atomic_flag noting;  /* one thread at a time does */
    atomic_uint noted;   /* the look that has found what follows; 0: it is being changed */
    atomic_uint_fast64_t start_bytes, end_bytes, until_ns;
};

/* Before the look.  Its number. */
uint32_t file_hole_look_begins(struct file_hole *hole);
/* It has found this. */
void file_hole_note(struct file_hole *hole, uint32_t look, uint64_t offset_bytes,
                    uint64_t length_bytes, uint64_t now_ns);
/* Whether nothing but a hole is there. */
bool file_hole_covers(struct file_hole *hole, uint64_t offset_bytes, uint64_t length_bytes,
                      uint64_t now_ns);

/* The storage has done, or tried, a write. */
static inline void file_hole_written(struct file_hole *hole)
{
    if (atomic_load_explicit(&hole->current, memory_order_relaxed) != 0)
        atomic_store(&hole->current, 0);
}

#endif
