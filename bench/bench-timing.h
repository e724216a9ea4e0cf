/* What the measurements of ciphers share: a clock, and the middle of what it told. */
#ifndef NBDCRYPT_BENCH_TIMING_H
#define NBDCRYPT_BENCH_TIMING_H

#include <stddef.h>

/* CPU time of this thread, in ns: what other processes took is left out. */
double bench_cpu_ns(void);

/* Sorts them; count is at least 1. */
double bench_median(double *values, size_t count);

#endif
