/* nbdcrypt info: what a LUKS header says, without a key. */
#ifndef NBDCRYPT_COMMAND_INFO_H
#define NBDCRYPT_COMMAND_INFO_H

#include "server/cli/command-line.h"

extern const struct command command_info;

#endif
