/* The guard: a thread that watches the others, and makes reports (report.h).  It takes no lock and
 * no memory, so it goes on when they hang.
 *
 * A report is made when somebody sends SIGUSR1 or asks for one, when a thread that has a loop does
 * not answer, when a request takes too long, and when something happens that can't. */
#ifndef NBDCRYPT_GUARD_H
#define NBDCRYPT_GUARD_H

#include "server/loop/loop.h"
#include "server/report/report-file.h"
#include "server/report/report.h"

/* The first thing in main(): SIGUSR1 does not end the process.  One that comes before there is a
 * guard asks for a report that is made when there is. */
void guard_take_signal(void);

struct guard_settings {
    struct report_files files;
    unsigned stall_seconds; /* a thread that has not answered for so long hangs; 0: never */
    unsigned hung_seconds;  /* and so does a request that takes longer; 0: never */
    const struct board *board;
};

/* Copies the settings; the board must stay until guard_stop(). */
NODISCARD int guard_start(const struct guard_settings *settings, struct error *err);
/* Before the loops go, or anything else that a report looks at. */
void guard_stop(void);

struct guard_thread {
    struct loop *loop;
    char name[32]; /* "thread nbdcrypt-0" */
};
/* From now on the threads of these loops must answer.  Copies them.  Once. */
NODISCARD int guard_watch(const struct guard_thread *threads, size_t count, struct error *err);
/* Not any more: they are told to end.  Their loops go on until what was sent to them has come. */
void guard_unwatch(void);

/* A report for somebody who waits on a loop: it is put into `out`, with a NUL, then `done` is
 * posted there with 0, or -ENOSPC.  Any thread.  False: there is no guard. */
struct guard_request {
    struct guard_request *next;
    char *out;
    size_t room_bytes;
    bool json;
    const char *reason; /* must stay */
    struct loop *loop;
    struct loop_message *done;
};
bool guard_ask(struct guard_request *request);

/* How often it has to look may have changed.  Any thread. */
void guard_look_soon(void);

/* In the handler of a signal: the guard makes the last report, for it may open files where others
 * may not (server/sandbox), and this thread waits for that, at most so long.  False: there is none,
 * it does not answer, or this is the guard itself. */
bool guard_make_at_end(const struct report_cause *cause, unsigned wait_ms);

/* Something happened that can't: a report is made soon.  Any thread; takes no time.  `why` is a
 * literal: a sentence without its end. */
void report_unexpected(const char *why);

#endif
