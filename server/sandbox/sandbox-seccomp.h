/* seccomp: which system calls threads can make.  By libseccomp, where the program was built with
 * it.  A call that is not allowed is a SIGSYS (sandbox-violation.h), which answers it with EPERM or
 * ends the process; but a process that would be made is EPERM and nothing else. */
#ifndef NBDCRYPT_SANDBOX_SECCOMP_H
#define NBDCRYPT_SANDBOX_SECCOMP_H

#include <stdbool.h>

#include "server/base/error.h"

/* NULL: it can be used; else why not, in a word or two. */
const char *seccomp_lack(void);

/* For all threads there are, and those that follow: no program is started unless `programs`, and
 * nothing that belongs to administrators, debuggers and loaders of code into the kernel. */
NODISCARD int seccomp_enter(bool programs, struct error *err);
/* For this thread alone: what serving takes, and nothing else. */
NODISCARD int seccomp_enter_worker(struct error *err);

/* The name of a system call, or NULL; from a signal handler, too, once seccomp_enter() was called.
 */
const char *seccomp_call_name(int number);

#endif
