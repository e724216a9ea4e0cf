#ifndef NBDCRYPT_CPU_COUNT_H
#define NBDCRYPT_CPU_COUNT_H

/* How many CPUs this process may run on; at least 1. */
unsigned cpu_count(void);

#endif
