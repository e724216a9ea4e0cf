#include "server/keys/wait-notice.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "server/base/log.h"
#include "server/base/threads.h"

/* Carriage return, erase to the end of the line (ECMA-48 EL). */
#define ERASE_LINE "\r\033[K"

static atomic_flag line_is_taken = ATOMIC_FLAG_INIT;

static void *count_seconds(void *context)
{
    struct wait_notice *notice = context;
    struct timespec next;
    unsigned seconds = 0;

    thread_begin("nbdcrypt-notice");
    clock_gettime(CLOCK_MONOTONIC, &next);
    pthread_mutex_lock(&notice->mutex);
    while (!notice->done) {
        next.tv_sec++;
        while (!notice->done &&
               pthread_cond_clockwait(&notice->wake, &notice->mutex, CLOCK_MONOTONIC, &next) == 0)
            continue;
        if (!notice->done)
            (void)fprintf(stderr, ERASE_LINE "%s ... %u s", notice->what, ++seconds);
    }
    if (seconds > 0)
        (void)fprintf(stderr, ERASE_LINE);
    pthread_mutex_unlock(&notice->mutex);
    return NULL;
}

/* Signals are for the threads that expect them. */
static int start_thread(struct wait_notice *notice)
{
    sigset_t before;

    thread_block_signals(&before);
    int result = pthread_create(&notice->thread, NULL, count_seconds, notice);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

static void give_line_back(void)
{
    log_set_line_start("");
    atomic_flag_clear(&line_is_taken);
}

void wait_notice_begin(struct wait_notice *notice, const char *what)
{
    *notice = (struct wait_notice){ .what = what };
    if (!isatty(STDERR_FILENO) || atomic_flag_test_and_set(&line_is_taken))
        return;
    log_set_line_start(ERASE_LINE);
    pthread_mutex_init(&notice->mutex, NULL);
    pthread_cond_init(&notice->wake, NULL);
    notice->running = start_thread(notice) == 0; /* it can be done without */
    if (!notice->running)
        give_line_back();
}

void wait_notice_end(struct wait_notice *notice)
{
    if (!notice->running)
        return;
    pthread_mutex_lock(&notice->mutex);
    notice->done = true;
    pthread_cond_signal(&notice->wake);
    pthread_mutex_unlock(&notice->mutex);
    pthread_join(notice->thread, NULL);
    pthread_cond_destroy(&notice->wake);
    pthread_mutex_destroy(&notice->mutex);
    give_line_back();
}
