#include "server/report/crash.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "server/base/threads.h"
#include "server/report/guard.h"
#include "server/report/report-maker.h"

#define REASON_BYTES 256u
#define GUARD_MS 4000u     /* it may be in the middle of another report */
#define REPORT_SECONDS 10u /* longer than that it may not hold up the end */

static const int crashes[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };
#define CRASH_COUNT (sizeof crashes / sizeof crashes[0])

static struct sigaction before[CRASH_COUNT];
static atomic_int crashed_tid;
static _Atomic(void *) explanation;

void crash_explain(void (*explain)(void))
{
    atomic_store(&explanation, (void *)(uintptr_t)explain);
}

static void put_address(char out[19], uint64_t address)
{
    char *at = out + 18;

    *at = '\0';
    for (unsigned i = 0; i < 16; i++, address >>= 4)
        *--at = "0123456789abcdef"[address & 15];
    out[0] = '0';
    out[1] = 'x';
}

/* "signal 11 (SEGV) at address 0x..., in thread nbdcrypt-0 (71)" */
static void describe(char out[REASON_BYTES], int number, const siginfo_t *info)
{
    char name[16] = "", address[19] = "";
    bool own = info->si_code > 0;

    (void)prctl(PR_GET_NAME, name);
    if (own)
        put_address(address, (uint64_t)(uintptr_t)info->si_addr);
    report_join(out, REASON_BYTES, "signal ", REPORT_DIGITS((uint64_t)number), " (",
                sigabbrev_np(number), ")",
                own                        ? " at address "
                : info->si_pid == getpid() ? " of its own"
                                           : " sent by process ",
                own                        ? address
                : info->si_pid == getpid() ? ""
                                           : REPORT_DIGITS((uint64_t)info->si_pid),
                ", in thread ", name, " (", REPORT_DIGITS((uint64_t)gettid()), ")", NULL);
}

static void give_back(int number)
{
    for (size_t i = 0; i < CRASH_COUNT; i++)
        if (crashes[i] == number)
            (void)sigaction(number, &before[i], NULL);
}

/* The system's action, however long the report takes. */
static void limit_time(void)
{
    struct sigaction end = { .sa_handler = SIG_DFL };
    sigset_t signal;

    sigemptyset(&end.sa_mask);
    (void)sigaction(SIGALRM, &end, NULL);
    sigemptyset(&signal);
    sigaddset(&signal, SIGALRM);
    (void)pthread_sigmask(SIG_UNBLOCK, &signal, NULL);
    alarm(REPORT_SECONDS);
}

static void report(int number, const siginfo_t *info)
{
    void (*explain)(void) = (void (*)(void))(uintptr_t)atomic_load(&explanation);
    char reason[REASON_BYTES];

    if (explain != NULL)
        explain();
    limit_time();
    thread_has_crashed();
    describe(reason, number, info);
    const struct report_cause cause = { "crash", reason };
    if (!guard_make_at_end(&cause, GUARD_MS))
        (void)report_make_at_end(&cause);
    alarm(0);
}

/* What crashed does so again when this returns, and then the signal is somebody else's.  One that
 * was sent is sent again: it is blocked until this returns. */
static void crashed(int number, siginfo_t *info, void *context)
{
    int nobody = 0, tid = gettid();

    (void)context;
    if (!atomic_compare_exchange_strong(&crashed_tid, &nobody, tid) && nobody != tid)
        while (true)
            pause();
    if (nobody == 0)
        report(number, info);
    give_back(number);
    if (info->si_code <= 0)
        (void)syscall(SYS_tgkill, getpid(), tid, number);
}

static void install(void)
{
    struct sigaction action = { .sa_sigaction = crashed, .sa_flags = SA_SIGINFO | SA_ONSTACK };

    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < CRASH_COUNT; i++)
        (void)sigaction(crashes[i], &action, &before[i]);
}

void crash_watch(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, install);
}
