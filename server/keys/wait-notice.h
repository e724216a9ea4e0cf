/* A line on a terminal for work that takes longer than a person likes to wait without a word, such
 * as the derivation of a key: it comes after a second, counts the seconds, and is gone when the
 * work is done.  Where standard error is no terminal nothing happens.  Of several at a time the
 * first has the line; what is logged meanwhile takes its place. */
#ifndef NBDCRYPT_WAIT_NOTICE_H
#define NBDCRYPT_WAIT_NOTICE_H

#include <pthread.h>
#include <stdbool.h>

struct wait_notice {
    bool running;
    bool done;
    const char *what;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
};

/* `what` is what is being done ("deriving a key"); it must stay until the end. */
void wait_notice_begin(struct wait_notice *notice, const char *what);
void wait_notice_end(struct wait_notice *notice);

#endif
