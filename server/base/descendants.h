/* Programs that others start in this process (the shells of a plugin), and what those start: none
 * of them outlives this process, however it ends.
 *
 * They are known by a variable of their environment, which they inherit, whoever adopts them; one
 * that was started without it, or that never called exec, is not found.  The process beside this
 * one (spawner.h), which is told by the kernel that this one is gone, ends them then: by SIGTERM,
 * and SIGKILL half a second later. */
#ifndef NBDCRYPT_DESCENDANTS_H
#define NBDCRYPT_DESCENDANTS_H

#include <stdbool.h>

#include "server/base/error.h"

#define DESCENDANTS_VARIABLE "NBDCRYPT_HOST"

/* What is started from now on will be found.  Once is enough, more does no harm; not from two
 * threads at once.  -errno with a sentence. */
NODISCARD int descendants_watch(struct error *err);

/* Ends those there are now, in the same way: blocks for at most a second, and no longer than one of
 * them lives. */
void descendants_end(void);

/* The same for those with that mark: "VARIABLE=...".  In the process beside. */
void descendants_end_marked(const char *wanted);

#endif
