#include "server/base/signals.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <ucontext.h>
#include <unistd.h>

static const int watched[] = { SIGTERM, SIGINT, SIGHUP };
#define WATCHED_COUNT (sizeof watched / sizeof watched[0])

/* One descriptor, for plugins want low ones: dash redirects to those up to 9 only. */
static int arrival_fd = -1;
static atomic_uint arrived[WATCHED_COUNT];

static void watched_signals(sigset_t *signals)
{
    sigemptyset(signals);
    for (size_t i = 0; i < WATCHED_COUNT; i++)
        sigaddset(signals, watched[i]);
}

/* Besides SIGUSR1, which one thread alone takes (server/report/guard.h). */
static void blocked_signals(sigset_t *signals)
{
    watched_signals(signals);
    sigaddset(signals, SIGUSR1);
}

/* ---- those that are errors ---- */

static void do_nothing(int number)
{
    (void)number;
}

void signals_of_writing_are_errors(void)
{
    struct sigaction action = { .sa_handler = do_nothing, .sa_flags = SA_RESTART };

    sigemptyset(&action.sa_mask);
    (void)sigaction(SIGPIPE, &action, NULL);
    (void)sigaction(SIGXFSZ, &action, NULL);
}

/* ---- those that are watched ---- */

static void note_arrival(int number)
{
    int saved = errno;

    for (size_t i = 0; i < WATCHED_COUNT; i++)
        if (watched[i] == number)
            atomic_fetch_add(&arrived[i], 1);
    if (write(arrival_fd, &(uint64_t){ 1 }, sizeof(uint64_t)) < 0) {
        /* It is readable already. */
    }
    errno = saved;
}

int signals_watch(struct error *err)
{
    sigset_t signals;

    blocked_signals(&signals);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    arrival_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (arrival_fd < 0)
        return error_set(err, -errno, "signals can't be watched: %s", strerror(errno));
    return arrival_fd;
}

int signals_next(void)
{
    uint64_t count;

    if (read(arrival_fd, &count, sizeof count) < 0) {
        /* What arrived before the last look is still counted. */
    }
    for (size_t i = WATCHED_COUNT; i-- > 0;)
        if (atomic_load(&arrived[i]) > 0) {
            atomic_fetch_sub(&arrived[i], 1);
            return watched[i];
        }
    return 0;
}

void signals_arrive(void)
{
    struct sigaction action = { .sa_handler = note_arrival, .sa_flags = SA_RESTART };
    sigset_t signals;

    watched_signals(&signals);
    action.sa_mask = signals;
    for (size_t i = 0; i < WATCHED_COUNT; i++)
        (void)sigaction(watched[i], &action, NULL);
    pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
}

void signals_unwatch(void)
{
    sigset_t signals;

    if (arrival_fd < 0)
        return;
    watched_signals(&signals);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    close(arrival_fd);
    arrival_fd = -1;
}

/* ---- around what is not ours ---- */

/* This thread blocks it from now on, and the process has it again. */
static void pass_on(int number, siginfo_t *info, void *context)
{
    ucontext_t *interrupted = context;
    int saved = errno;

    (void)info;
    sigaddset(&interrupted->uc_sigmask, number);
    (void)kill(getpid(), number);
    errno = saved;
}

void signals_let_through(sigset_t *before)
{
    struct sigaction action = { .sa_sigaction = pass_on, .sa_flags = SA_RESTART | SA_SIGINFO }, now;
    sigset_t signals;

    blocked_signals(&signals);
    action.sa_mask = signals;
    pthread_sigmask(SIG_BLOCK, NULL, before);
    for (size_t i = 0; i < WATCHED_COUNT; i++) {
        bool handled = sigaction(watched[i], NULL, &now) == 0 &&
                       ((now.sa_flags & SA_SIGINFO) || now.sa_handler == note_arrival);

        if (!sigismember(before, watched[i]))
            sigdelset(&signals, watched[i]);
        else if (!handled)
            (void)sigaction(watched[i], &action, NULL);
    }
    pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
}

void signals_hold(const sigset_t *before)
{
    pthread_sigmask(SIG_SETMASK, before, NULL);
}
