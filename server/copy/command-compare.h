/* nbdcrypt compare: whether two images have the same disk. */
#ifndef NBDCRYPT_COMMAND_COMPARE_H
#define NBDCRYPT_COMMAND_COMPARE_H

#include "server/cli/command-line.h"

extern const struct command command_compare;

#endif
