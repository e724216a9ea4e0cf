/* Connecting to a remote server on a thread of its own, which can be left behind.
 *
 * remote_dial() waits, and looking up a name can't be told to end: libraries may take minutes for
 * it. Who has to go before that leaves the thread to itself: it has copies of all it needs, and
 * frees them when it comes back. */
#ifndef NBDCRYPT_REMOTE_DIAL_THREAD_H
#define NBDCRYPT_REMOTE_DIAL_THREAD_H

#include "plugins/remote/remote-dial.h"
#include "server/loop/loop.h"

struct remote_dial_thread {
    struct loop_message done; /* result: 0 or -errno */
    void *context;            /* of who asked */

    /* The outcome. */
    struct remote_connection connection; /* who keeps it puts one without a socket here */
    struct remote_features features;
    struct remote_listed listed; /* who keeps its contexts puts none here */
    struct error error;
};

struct remote_dial_thread_settings {
    const struct remote_address *address; /* copied */
    bool list_contexts;                   /* rather than ask for those in the address */
    unsigned deadline_ms;
    struct loop *loop;    /* `done` is called on its thread; NULL: see remote_dial_thread_wait() */
    struct loop *starter; /* the one that starts the thread, and outlives it: a worker may start
                           * none; NULL: the caller does */
    void (*done)(struct io_event *ev, int result);
    void *context;
};

/* As remote_dial(), and then `done` is called.  The message is set when it could not be begun; what
 * `starter` can't begin is a failure as others are. */
NODISCARD int remote_dial_thread_start(struct remote_dial_thread **out,
                                       const struct remote_dial_thread_settings *settings,
                                       struct error *err);

/* Of one without a loop: whether it was over within `timeout_ms`. */
bool remote_dial_thread_wait(struct remote_dial_thread *attempt, unsigned timeout_ms);

/* It is over. */
void remote_dial_thread_free(struct remote_dial_thread *attempt);

/* It should end soon, which it tells as usual; takes no time. */
void remote_dial_thread_hurry(struct remote_dial_thread *attempt);

/* It is not wanted any more, whether it is over or not.  It takes no time, but without a loop a
 * fraction of a second.  True: `done` is yet to be called, and frees it; false: it will not be, and
 * the attempt is gone. */
bool remote_dial_thread_leave(struct remote_dial_thread *attempt);

#endif
