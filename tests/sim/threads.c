/* Threads, locks, clocks and chance of the product's objects (ld --wrap; libraries keep theirs): a
 * thread is a fiber, blocking is waiting in virtual time.
 *
 * The state of a mutex and of a semaphore is in their own memory: the number of the fiber that
 * holds it, and the count.  What a host held when it was killed is free. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "tests/sim/options.h"
#include "tests/sim/random.h"
#include "tests/sim/schedule.h"
#include "tests/sim/trace.h"
#include "tests/sim/wrap.h"

#define YIELD_PER_MILLE 50u
#define SPURIOUS_PER_MILLE 10u
#define PREEMPTED_NS_MAX (20 * NS_PER_MS)
#define START_SECONDS 1700000000 /* of the clock on the wall */

/* ---- threads ---- */

int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attributes, void *(*fn)(void *),
                          void *context)
{
    struct fiber *fiber = fiber_start("thread", fiber_host(), fn, context);

    (void)attributes;
    memcpy(out, &fiber, sizeof(fiber));
    return 0;
}

static struct fiber *fiber_of(pthread_t thread)
{
    struct fiber *fiber;

    memcpy(&fiber, &thread, sizeof(fiber));
    return fiber;
}

int __wrap_pthread_join(pthread_t thread, void **result)
{
    void *value = fiber_join(fiber_of(thread));

    if (result != NULL)
        *result = value;
    return 0;
}

int __wrap_pthread_detach(pthread_t thread)
{
    fiber_detach(fiber_of(thread));
    return 0;
}

int __wrap_pthread_setname_np(pthread_t thread, const char *name)
{
    (void)thread;
    (void)name;
    return 0;
}

int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *before)
{
    (void)how;
    (void)set;
    if (before != NULL)
        sigemptyset(before);
    return 0;
}

/* ---- locks ---- */

/* The CPU is for others, for so long that they get far meanwhile. */
static void maybe_preempted(void)
{
    if (fiber_host() == HOST_WORLD ||
        !random_chance(STREAM_RARE, (unsigned)options.preempt_permille))
        return;
    mark(MARK_preempted);
    fiber_sleep(random_skewed(STREAM_RARE, NS_PER_US, PREEMPTED_NS_MAX));
}

static void maybe_yield(void)
{
    if (fiber_self() != NULL && random_chance(STREAM_SCHEDULE, YIELD_PER_MILLE))
        fiber_yield();
    maybe_preempted();
}

static unsigned *holder_of(pthread_mutex_t *mutex)
{
    return (unsigned *)(void *)mutex;
}

static unsigned own_number(void)
{
    return fiber_self() != NULL ? fiber_number(fiber_self()) : UINT16_MAX;
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
    unsigned *holder = holder_of(mutex);

    maybe_yield();
    while (*holder != 0 && *holder != UINT16_MAX && fiber_number_is_alive(*holder)) {
        if (*holder == own_number())
            sim_fail("a thread takes a mutex that it holds");
        mark(MARK_lock_waited);
        fiber_wait(mutex);
    }
    *holder = own_number();
    return 0;
}

static void release(pthread_mutex_t *mutex)
{
    if (*holder_of(mutex) != own_number())
        sim_fail("a thread gives back a mutex that it does not hold");
    *holder_of(mutex) = 0;
    fiber_wake_one(mutex);
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    release(mutex);
    maybe_yield();
    return 0;
}

static int wait_until(pthread_cond_t *condition, pthread_mutex_t *mutex, uint64_t until_ns)
{
    bool in_time = true;

    maybe_yield();
    release(mutex); /* from here to the wait nobody else runs: a signal is not missed */
    if (random_chance(STREAM_SCHEDULE, SPURIOUS_PER_MILLE))
        fiber_yield();
    else if (until_ns == UINT64_MAX)
        fiber_wait(condition);
    else
        in_time = fiber_wait_until(condition, until_ns);
    (void)__wrap_pthread_mutex_lock(mutex);
    return in_time ? 0 : ETIMEDOUT;
}

int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex)
{
    return wait_until(condition, mutex, UINT64_MAX);
}

static uint64_t deadline_ns(const struct timespec *when, clockid_t clock)
{
    time_t seconds = when->tv_sec - (clock == CLOCK_REALTIME ? START_SECONDS : 0);

    return (uint64_t)seconds * NS_PER_S + (uint64_t)when->tv_nsec;
}

int __wrap_pthread_cond_clockwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                  clockid_t clock, const struct timespec *when)
{
    return wait_until(condition, mutex, deadline_ns(when, clock));
}

/* The product has its conditions by CLOCK_MONOTONIC. */
int __wrap_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                  const struct timespec *when)
{
    return wait_until(condition, mutex, deadline_ns(when, CLOCK_MONOTONIC));
}

int __wrap_pthread_cond_signal(pthread_cond_t *condition)
{
    fiber_wake_one(condition);
    maybe_yield();
    return 0;
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *condition)
{
    fiber_wake_all(condition);
    maybe_yield();
    return 0;
}

static unsigned *count_of(sem_t *semaphore)
{
    return (unsigned *)(void *)semaphore;
}

int __wrap_sem_init(sem_t *semaphore, int shared, unsigned value)
{
    (void)shared;
    *count_of(semaphore) = value;
    return 0;
}

int __wrap_sem_destroy(sem_t *semaphore)
{
    (void)semaphore;
    return 0;
}

int __wrap_sem_wait(sem_t *semaphore)
{
    if (random_chance(STREAM_SCHEDULE, SPURIOUS_PER_MILLE)) {
        errno = EINTR;
        return -1;
    }
    while (*count_of(semaphore) == 0)
        fiber_wait(semaphore);
    --*count_of(semaphore);
    maybe_preempted();
    return 0;
}

int __wrap_sem_clockwait(sem_t *semaphore, clockid_t clock, const struct timespec *until)
{
    uint64_t until_ns = deadline_ns(until, clock);

    if (random_chance(STREAM_SCHEDULE, SPURIOUS_PER_MILLE)) {
        errno = EINTR;
        return -1;
    }
    while (*count_of(semaphore) == 0)
        if (sim_now_ns >= until_ns || !fiber_wait_until(semaphore, until_ns)) {
            if (*count_of(semaphore) > 0)
                break;
            errno = ETIMEDOUT;
            return -1;
        }
    --*count_of(semaphore);
    maybe_preempted();
    return 0;
}

int __wrap_sem_post(sem_t *semaphore)
{
    ++*count_of(semaphore);
    fiber_wake_one(semaphore);
    maybe_yield();
    return 0;
}

/* ---- time and chance ---- */

int __wrap_clock_gettime(clockid_t clock, struct timespec *out)
{
    out->tv_sec = (time_t)(sim_now_ns / NS_PER_S) + (clock == CLOCK_REALTIME ? START_SECONDS : 0);
    out->tv_nsec = (long)(sim_now_ns % NS_PER_S);
    return 0;
}

time_t __wrap_time(time_t *out)
{
    time_t now = (time_t)(sim_now_ns / NS_PER_S) + START_SECONDS;

    if (out != NULL)
        *out = now;
    return now;
}

int __wrap_nanosleep(const struct timespec *duration, struct timespec *left)
{
    if (left != NULL)
        *left = (struct timespec){ 0 };
    fiber_sleep((uint64_t)duration->tv_sec * NS_PER_S + (uint64_t)duration->tv_nsec);
    return 0;
}

/* Libraries find this one: signatures have a length that depends on it. */
ssize_t getrandom(void *out, size_t length_bytes, unsigned flags)
{
    (void)flags;
    random_bytes(STREAM_LIBRARIES, out, length_bytes);
    return (ssize_t)length_bytes;
}

int getentropy(void *out, size_t length_bytes)
{
    random_bytes(STREAM_LIBRARIES, out, length_bytes);
    return 0;
}

ssize_t __wrap_getrandom(void *out, size_t length_bytes, unsigned flags)
{
    (void)flags;
    random_bytes(STREAM_ENTROPY, out, length_bytes);
    return (ssize_t)length_bytes;
}
