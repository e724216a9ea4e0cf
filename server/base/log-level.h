/* The names of the levels of the log, as options and files have them. */
#ifndef NBDCRYPT_LOG_LEVEL_H
#define NBDCRYPT_LOG_LEVEL_H

#include "server/base/log.h"

#define LOG_LEVEL_CHOICES "error|warning|notice|info|debug"

/* False: there is none of that name. */
bool log_level_of(enum log_level *out, const char *name);

#endif
