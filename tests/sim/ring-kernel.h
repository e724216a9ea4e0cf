/* The kernel's side of io_uring, under the real server/loop/loop.c: what liburing's functions ask
 * for is done here, in virtual time, as kernels of several ages do it.
 *
 *     asked (loop_read() and the like) -> taken (out of the submission queue) -> done (its
 *     completion can be seen) -> delivered
 *
 * Completions come in any order; of those for which the completion queue has no room, the kernel
 * keeps a list. */
#ifndef NBDCRYPT_SIM_RING_KERNEL_H
#define NBDCRYPT_SIM_RING_KERNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "server/loop/loop.h"

enum ring_age {
    RING_DEFERS,     /* 6.1: completions happen when the thread enters the kernel for them */
    RING_COOPERATES, /* 5.19: IORING_SETUP_COOP_TASKRUN */
    RING_PLAIN,      /* 5.13: nobody waits while completions have no room: -EBUSY */
    RING_REFUSES,    /* 5.10: nor is anything submitted then */
    RING_AGES
};

/* Per mille, unless the name says otherwise. */
struct ring_settings {
    enum ring_age age;
    unsigned refused;     /* of submissions: -EAGAIN */
    unsigned partial;     /* only some entries are taken */
    unsigned interrupted; /* of waits */
    unsigned no_memory;   /* registering files and memory fails, and so does making the ring */
    unsigned short_transfer, failed;
    unsigned slow;             /* of operations: up to a second */
    unsigned late_cancel;      /* it finds the operation running, and lets it end by itself */
    unsigned yields;           /* at each access to what others see, another thread goes on */
    uint64_t operation_max_ns; /* how long one takes */
    uint64_t locked_bytes;     /* that the user may lock; 0: all he wants */
};

extern struct ring_settings ring_settings;

enum ring_stage { RING_FREE, RING_ASKED, RING_TAKEN, RING_DONE };

/* An operation that the work has asked for, with all that the kernel must find in its entry. */
struct ring_op {
    struct loop_timer timer; /* its event is that of operations of all kinds */
    enum ring_stage stage;
    uint8_t opcode;
    int fd;
    uint8_t *data; /* pattern of `seed`, in it or to come */
    uint32_t length_bytes;
    uint64_t offset_bytes, range_bytes;
    struct msghdr *message;
    unsigned timeout_ms, seed;
    bool hangs; /* ends only when it is cancelled */
    bool fixed; /* its memory is registered */
    uint64_t asked_ns, done_ns;
    int result; /* once it is done */
};

/* Whether the work knows this event; else it is the loop's own. */
struct ring_op *ring_work_op(const void *event);
/* The loop of the calling fiber goes to sleep in the kernel: there is no completion in its queue.
 * `wakes`: but it is being woken. */
void ring_work_sleeps(bool wakes);

uint8_t ring_pattern(unsigned seed, uint64_t at);

/* An operation on it is in flight, of the work. */
bool ring_kernel_uses(int fd);
unsigned rings_open(void);

/* What has happened, and how often. */
/* clang-format off */
#define RING_MARKS(X) \
    X(overflow) X(refused) X(partial) X(busy_wait) X(busy_submit) X(interrupted) X(queue_full) \
    X(cancelled) X(cancelled_late) X(cancelled_nothing) X(wakes) X(sleeps) \
    X(table_failed) X(fixed_file) X(plain_file) X(fixed_memory) X(short_transfer) X(failed) \
    X(slow) X(deferred) X(ring_smaller)
/* clang-format on */

#define RING_MARK_ENUM(name) RING_MARK_##name,
enum ring_mark { RING_MARKS(RING_MARK_ENUM) RING_MARK_COUNT };
extern unsigned ring_marks[RING_MARK_COUNT];

#endif
