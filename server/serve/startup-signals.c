#include "server/serve/startup-signals.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "server/keys/key-command.h"
#include "server/keys/key-terminal.h"
#include "server/base/log.h"
#include "server/base/threads.h"

/* Not SIGHUP, for which somebody else waits. */
static void ending_signals(sigset_t *signals)
{
    sigemptyset(signals);
    sigaddset(signals, SIGTERM);
    sigaddset(signals, SIGINT);
}

static void end_by(int number)
{
    sigset_t signals;

    ending_signals(&signals);
    signal(number, SIG_DFL);
    raise(number);
    pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
}

/* False: the start is over.  A signal that is there may be gone when it is read: a thread took it
 * that lets signals through, and sends it again (signals_let_through()). */
static bool wait_for_signal(int started_fd, int signal_fd, struct signalfd_siginfo *info)
{
    struct pollfd files[] = { { .fd = started_fd, .events = POLLIN },
                              { .fd = signal_fd, .events = POLLIN } };

    do {
        while (poll(files, 2, -1) < 0)
            if (errno != EINTR)
                return false;
        if (files[0].revents != 0)
            return false;
    } while (read(signal_fd, info, sizeof *info) != sizeof *info);
    return true;
}

static void *watch(void *context)
{
    struct early_end *end = context;
    struct signalfd_siginfo info;
    sigset_t signals;

    thread_begin("nbdcrypt-start");
    ending_signals(&signals);
    int signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (wait_for_signal(end->started_fd, signal_fd, &info)) {
        key_terminal_echo_again();
        log_warning("ended by a signal before it was ready");
        key_command_end_all();
        end->clean_up(end->context);
        end_by((int)info.ssi_signo);
    }
    close(signal_fd);
    return NULL;
}

int startup_signals_watch(struct early_end *end, void (*clean_up)(void *context), void *context,
                          struct error *err)
{
    *end = (struct early_end){ .clean_up = clean_up, .context = context };
    end->started_fd = eventfd(0, EFD_CLOEXEC);
    if (end->started_fd < 0)
        return error_set(err, -errno, "an eventfd could not be made: %s", strerror(errno));
    int result = pthread_create(&end->thread, NULL, watch, end);
    if (result != 0) {
        close(end->started_fd);
        return error_set(err, -result, "a thread for signals could not be started: %s",
                         strerror(result));
    }
    end->watching = true;
    return 0;
}

void startup_signals_stop(struct early_end *end)
{
    if (!end->watching)
        return;
    if (write(end->started_fd, &(uint64_t){ 1 }, sizeof(uint64_t)) < 0)
        log_error("the thread for signals could not be told that the start is over: %s",
                  strerror(errno));
    pthread_join(end->thread, NULL);
    close(end->started_fd);
    end->watching = false;
}
