/* Threads that meet at each atomic access: the loop is compiled as for the thread sanitizer, whose
 * calls come here.  A drawn part of them lets another fiber go on, so that any order of what
 * threads do to what they share is tried, one step at a time.  (How memory orders it is not seen:
 * that is for the sanitizer itself, `make check-threads`.) */
#include <sched.h>
#include <stdarg.h>

#include "tests/sim/random.h"
#include "tests/sim/ring-calls.h"
#include "tests/sim/ring-kernel.h"
#include "tests/sim/schedule.h"
#include "tests/sim/trace.h"

#define CLOCK_NS_MAX 200u
#define PREEMPTED_PER_MILLE 20u

/* Now and then for a while: the CPU was taken from it. */
static void others_may_go_on(void)
{
    if (fiber_self() == NULL || !random_chance(STREAM_SCHEDULE, ring_settings.yields))
        return;
    if (random_chance(STREAM_SCHEDULE, PREEMPTED_PER_MILLE))
        fiber_sleep(random_skewed(STREAM_SCHEDULE, NS_PER_US, NS_PER_MS));
    else
        fiber_yield();
}

/* ---- time ---- */

/* Who looks at the clock again and again sees it go. */
int __wrap_clock_gettime(clockid_t clock, struct timespec *out)
{
    (void)clock;
    if (fiber_self() != NULL)
        fiber_sleep(1 + random_below(STREAM_SCHEDULE, CLOCK_NS_MAX));
    out->tv_sec = (time_t)(sim_now_ns / NS_PER_S);
    out->tv_nsec = (long)(sim_now_ns % NS_PER_S);
    return 0;
}

int __wrap_sched_yield(void)
{
    fiber_yield();
    return 0;
}

/* ---- limits: whoever runs this, and on what ---- */

long __wrap_syscall(long number, ...)
{
    (void)number; /* capget(2): it has none */
    return -1;
}

int __wrap_getrlimit(int resource, struct rlimit *limit)
{
    (void)resource;
    limit->rlim_cur = limit->rlim_max =
        ring_settings.locked_bytes > 0 ? ring_settings.locked_bytes : RLIM_INFINITY;
    return 0;
}

/* ---- what the compiler calls ---- */

/* clang-format off */
#define PLAIN(name) void __tsan_##name(void *at); void __tsan_##name(void *at) { (void)at; }
#define PLAIN_SIZES(X) X(1) X(2) X(4) X(8) X(16)
#define READ_WRITE(size) \
    PLAIN(read##size) PLAIN(write##size) PLAIN(unaligned_read##size) PLAIN(unaligned_write##size) \
    PLAIN(volatile_read##size) PLAIN(volatile_write##size)
PLAIN_SIZES(READ_WRITE)
PLAIN(func_entry) PLAIN(vptr_read)
    /* clang-format on */

    void __tsan_init(void);
void __tsan_func_exit(void);
void __tsan_read_range(void *at, size_t bytes);
void __tsan_write_range(void *at, size_t bytes);
void __tsan_atomic_thread_fence(int order);

void __tsan_init(void)
{
}

void __tsan_func_exit(void)
{
}

void __tsan_read_range(void *at, size_t bytes)
{
    (void)at;
    (void)bytes;
}

void __tsan_write_range(void *at, size_t bytes)
{
    (void)at;
    (void)bytes;
}

void __tsan_atomic_thread_fence(int order)
{
    (void)order;
    others_may_go_on();
}

#define DECLARE_ATOMIC(bits, type)                                                                 \
    type __tsan_atomic##bits##_load(const volatile type *at, int order);                           \
    void __tsan_atomic##bits##_store(volatile type *at, type value, int order);                    \
    type __tsan_atomic##bits##_exchange(volatile type *at, type value, int order);                 \
    type __tsan_atomic##bits##_fetch_add(volatile type *at, type value, int order);                \
    type __tsan_atomic##bits##_fetch_sub(volatile type *at, type value, int order);                \
    int __tsan_atomic##bits##_compare_exchange_strong(volatile type *at, type *expected,           \
                                                      type value, int order, int failure_order);   \
    int __tsan_atomic##bits##_compare_exchange_weak(volatile type *at, type *expected, type value, \
                                                    int order, int failure_order);                 \
    type __tsan_atomic##bits##_compare_exchange_val(volatile type *at, type expected, type value,  \
                                                    int order, int failure_order);

#define DEFINE_ATOMIC(bits, type)                                                                  \
    DECLARE_ATOMIC(bits, type)                                                                     \
    type __tsan_atomic##bits##_load(const volatile type *at, int order)                            \
    {                                                                                              \
        (void)order;                                                                               \
        others_may_go_on();                                                                        \
        return *at;                                                                                \
    }                                                                                              \
    void __tsan_atomic##bits##_store(volatile type *at, type value, int order)                     \
    {                                                                                              \
        (void)order;                                                                               \
        others_may_go_on();                                                                        \
        *at = value;                                                                               \
    }                                                                                              \
    type __tsan_atomic##bits##_exchange(volatile type *at, type value, int order)                  \
    {                                                                                              \
        (void)order;                                                                               \
        others_may_go_on();                                                                        \
        type before = *at;                                                                         \
        *at = value;                                                                               \
        return before;                                                                             \
    }                                                                                              \
    type __tsan_atomic##bits##_fetch_add(volatile type *at, type value, int order)                 \
    {                                                                                              \
        type before = __tsan_atomic##bits##_load(at, order);                                       \
        *at = (type)(before + value);                                                              \
        return before;                                                                             \
    }                                                                                              \
    type __tsan_atomic##bits##_fetch_sub(volatile type *at, type value, int order)                 \
    {                                                                                              \
        type before = __tsan_atomic##bits##_load(at, order);                                       \
        *at = (type)(before - value);                                                              \
        return before;                                                                             \
    }                                                                                              \
    int __tsan_atomic##bits##_compare_exchange_strong(volatile type *at, type *expected,           \
                                                      type value, int order, int failure_order)    \
    {                                                                                              \
        type before = __tsan_atomic##bits##_load(at, order);                                       \
        int same = before == *expected;                                                            \
        (void)failure_order;                                                                       \
        if (same)                                                                                  \
            *at = value;                                                                           \
        *expected = before;                                                                        \
        return same;                                                                               \
    }                                                                                              \
    int __tsan_atomic##bits##_compare_exchange_weak(volatile type *at, type *expected, type value, \
                                                    int order, int failure_order)                  \
    {                                                                                              \
        return __tsan_atomic##bits##_compare_exchange_strong(at, expected, value, order,           \
                                                             failure_order);                       \
    }                                                                                              \
    /* gcc calls those above, clang this one */                                                    \
    type __tsan_atomic##bits##_compare_exchange_val(volatile type *at, type expected, type value,  \
                                                    int order, int failure_order)                  \
    {                                                                                              \
        (void)__tsan_atomic##bits##_compare_exchange_strong(at, &expected, value, order,           \
                                                            failure_order);                        \
        return expected;                                                                           \
    }

DEFINE_ATOMIC(8, uint8_t)
DEFINE_ATOMIC(16, uint16_t)
DEFINE_ATOMIC(32, uint32_t)
DEFINE_ATOMIC(64, uint64_t)
