/* nbdcrypt check: what is wrong with a configuration, without serving it. */
#ifndef NBDCRYPT_COMMAND_CHECK_H
#define NBDCRYPT_COMMAND_CHECK_H

#include "server/cli/command-line.h"

extern const struct command command_check_config;

#endif
