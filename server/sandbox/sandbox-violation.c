#include "server/sandbox/sandbox-violation.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <ucontext.h>
#include <unistd.h>

#include "server/base/log-service.h"
#include "server/base/log-ids.h"
#include "server/base/log.h"
#include "server/sandbox/sandbox-seccomp.h"

#define LAST_WORDS_MS 1000u
#define THREAD_NAME_BYTES 16

#ifndef SYS_SECCOMP
#define SYS_SECCOMP 1
#endif

static bool ends;
static atomic_uint_fast64_t count;
static struct sigaction before;

uint64_t sandbox_violation_count(void)
{
    return atomic_load_explicit(&count, memory_order_relaxed);
}

/* The register that has what a system call returns. */
static bool answer(ucontext_t *interrupted, int error)
{
#if defined(__x86_64__)
    interrupted->uc_mcontext.gregs[REG_RAX] = -error;
    return true;
#elif defined(__aarch64__)
    interrupted->uc_mcontext.regs[0] = (unsigned long long)-(long long)error;
    return true;
#else
    (void)interrupted;
    (void)error;
    return false;
#endif
}

/* The log may be written to at any point of a thread: its queue has no lock (log-queue.h). */
static void tell(int number)
{
    char thread[THREAD_NAME_BYTES] = "", who[64];
    const char *name = seccomp_call_name(number);

    (void)prctl(PR_GET_NAME, thread);
    (void)snprintf(who, sizeof who, "sandbox: thread '%s' (%d)", thread, (int)gettid());
    log_write_about(LOG_ERROR, LOG_ABOUT(.id = LOG_ID_SANDBOX_VIOLATION, .who = who),
                    "tried the system call %s (%d), which is not allowed%s",
                    name != NULL ? name : "of this number", number, ends ? "; nbdcrypt ends" : "");
}

/* As if we had not been there. */
static void pass_on(int number, siginfo_t *info, void *context)
{
    log_service_drain(LAST_WORDS_MS);
    if (before.sa_flags & SA_SIGINFO)
        before.sa_sigaction(number, info, context);
    (void)signal(number, SIG_DFL);
    sigset_t it;
    sigemptyset(&it);
    sigaddset(&it, number);
    (void)raise(number);
    (void)pthread_sigmask(SIG_UNBLOCK, &it, NULL);
    _exit(128 + number);
}

static void refused(int number, siginfo_t *info, void *context)
{
    int saved = errno;

    if (info->si_code != SYS_SECCOMP)
        pass_on(number, info, context); /* somebody has sent it */
    atomic_fetch_add(&count, 1);
    tell(info->si_syscall);
    if (ends || !answer(context, EPERM))
        pass_on(number, info, context);
    errno = saved;
}

int sandbox_violation_watch(bool deadly, struct error *err)
{
    struct sigaction action = { .sa_sigaction = refused, .sa_flags = SA_SIGINFO | SA_NODEFER };
    sigset_t it;

    ends = deadly;
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGSYS, &action, &before) != 0)
        return error_set(err, -errno, "violations of the sandbox can't be watched: %s",
                         strerror(errno));
    sigemptyset(&it);
    sigaddset(&it, SIGSYS);
    (void)pthread_sigmask(SIG_UNBLOCK, &it, NULL);
    return 0;
}
