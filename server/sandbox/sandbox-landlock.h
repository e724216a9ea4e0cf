/* Landlock: which files and ports the calling thread, and the threads and programs that it starts
 * from then on, can still come to.  What is open stays open.  By system calls: glibc has none of
 * it, and the header of the build machine may be older than the kernel. */
#ifndef NBDCRYPT_SANDBOX_LANDLOCK_H
#define NBDCRYPT_SANDBOX_LANDLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/base/error.h"
#include "server/sandbox/sandbox-settings.h"

/* The version of the kernel's; 0: it has none, or it is switched off. */
int landlock_version(void);

/* What can be taken away is; the rest is left out silently where `version` has no such right.
 * A path that is not there is left out, unless it is `demanded`.  -errno with a sentence. */
NODISCARD int landlock_enter(int version, const struct sandbox_settings *settings,
                             struct error *err);

/* Is the path this folder, or in it?  Both are whole and without links. */
bool landlock_is_below(const char *path, const char *folder);
/* Is it one of those that can be read whatever the settings are? */
bool landlock_always_allows(const char *path);
/* Is it one that can't be written with SANDBOX_REACH_SYSTEM, unless it is named? */
bool landlock_is_of_system(const char *path);

/* The first versions that can do it. */
#define LANDLOCK_VERSION_NETWORK 4
#define LANDLOCK_VERSION_SCOPES 6

#endif
