/* The threads of this program, as opposed to those of libraries and plugins: a list of them, who
 * can be asked where they are (a report does), and who have room for the handler of a signal when
 * their own stack is full.
 *
 * A thread is asked by a signal, and its handler notes the addresses of its callers: it takes no
 * lock and no memory.  A thread within code that is not ours is not asked, for that code may not
 * bear an EINTR.
 *
 * This header is a leaf: crypto/, server/ and plugins/ may all include it. */
#ifndef NBDCRYPT_THREADS_H
#define NBDCRYPT_THREADS_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define THREAD_PLACES 2048u /* more than that work all the same, and are not on the list */
#define THREAD_FRAMES_MAX 40u
#define THREAD_NAME_BYTES 16u
#define THREAD_WHOSE_BYTES 32u

/* The first thing that a thread does: it is on the list until it ends.  `name` becomes its name in
 * the system, but not of the first thread, whose name is the program's; at most 15 bytes. */
void thread_begin(const char *name);

/* Around a call of code that is not ours: whose it is, of which the beginning is kept, and what was
 * called, a literal.  NULL: it is over. */
void thread_is_within(const char *whose, const char *call);

/* In the handler of a crash: it is asked all the same. */
void thread_has_crashed(void);

/* Before there are other threads: from now on they can be asked, and get a stack for handlers. */
void threads_watch(void);

/* For a thread that takes no signals: blocks all but those that this file and crashes need. */
void thread_block_signals(sigset_t *before);

/* ---- who looks: one at a time; safe in a handler ---- */

struct thread_view {
    pid_t tid;
    char name[THREAD_NAME_BYTES];
    char whose[THREAD_WHOSE_BYTES]; /* of thread_is_within() */
    const char *call;               /* NULL: it is within our own code */
    bool answered;                  /* the last question */
    unsigned frame_count;
    void *frames[THREAD_FRAMES_MAX]; /* the innermost first; those that are return addresses point
                                        behind the call */
};

/* Asks all but the calling thread, which answers at once, and waits at most so long. */
void threads_ask(unsigned wait_ms);
/* The next one; *cursor is 0 at first.  False: there are no more. */
bool threads_next(size_t *cursor, struct thread_view *out);

#endif
