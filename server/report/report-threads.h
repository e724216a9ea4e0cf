/* Threads, where they are: our own by their stacks, all others by what the kernel knows. */
#ifndef NBDCRYPT_REPORT_THREADS_H
#define NBDCRYPT_REPORT_THREADS_H

#include "server/report/report.h"

extern const struct report_section report_threads_section;

#endif
