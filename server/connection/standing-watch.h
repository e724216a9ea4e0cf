/* Clients that would not be let in any more are told to go: when their certificate is over, by a
 * timer of the worker, and when it is in a list of revoked ones, or their key is gone, after the
 * files of TLS were read again. */
#ifndef NBDCRYPT_STANDING_WATCH_H
#define NBDCRYPT_STANDING_WATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/loop/loop.h"

struct worker;

struct standing_watch {
    struct worker *worker;
    struct io_event certified; /* of the worker */
    struct loop_timer timer;
    int64_t at_s; /* when it fires, by the clock on the wall */
    bool running, ending;
    struct loop_message look;
    atomic_bool looking; /* the message is under way */
};

/* `worker` must outlive it. */
void standing_watch_init(struct standing_watch *watch, struct worker *worker);
/* Any thread, while there is the loop: the files were read again. */
void standing_watch_look(struct standing_watch *watch);
/* No connection is left. */
void standing_watch_stop(struct standing_watch *watch);

#endif
