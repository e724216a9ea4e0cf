/* CPU time of processes, as proc(5) tells it: all threads, those that have ended, and the
 * kernel's io_uring workers of a process are in it. */
#ifndef NBDCRYPT_CPU_TIME_H
#define NBDCRYPT_CPU_TIME_H

#include <stdint.h>
#include <sys/types.h>

#include "server/base/error.h"

/* A process and everything it has forked that is still its descendant: utime and stime of each, and
 * of their children that have ended.  In ns; as exact as the clock of a process where the kernel
 * gives that, and for the children that have ended to a clock tick (10 ms).  -errno with a
 * sentence: there is no such process. */
NODISCARD int cpu_time_of_tree(uint64_t *out_ns, pid_t pid, struct error *err);

/* This process, in ns. */
uint64_t cpu_time_own(void);

#endif
