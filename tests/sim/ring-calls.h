/* What stands in the place of functions of libc where the real loop runs in simulated time, and
 * what the compiler calls at each access to memory: see ring-interleave.c. */
#ifndef NBDCRYPT_SIM_RING_CALLS_H
#define NBDCRYPT_SIM_RING_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <time.h>

int __wrap_eventfd(unsigned count, int flags);
int __real_close(int fd);
int __wrap_close(int fd);
ssize_t __real_write(int fd, const void *data, size_t length_bytes);
ssize_t __wrap_write(int fd, const void *data, size_t length_bytes);
int __wrap_clock_gettime(clockid_t clock, struct timespec *out);
int __wrap_sched_yield(void);
long __wrap_syscall(long number, ...);
int __wrap_getrlimit(int resource, struct rlimit *limit);

#endif
