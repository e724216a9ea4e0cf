/* Levels of the log of single exports, beside that of all else: read by any thread without
 * waiting. */
#ifndef NBDCRYPT_LOG_EXPORTS_H
#define NBDCRYPT_LOG_EXPORTS_H

#include <stdbool.h>

#define LOG_EXPORTS_MAX 32u

/* `level` is an enum log_level.  False: so many have one.  One thread changes them. */
bool log_exports_set(const char *name, int level);
void log_exports_unset(const char *name);
/* False: it has none. */
bool log_exports_get(const char *name, int *level);

#endif
