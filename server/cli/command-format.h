/* nbdcrypt format: makes a LUKS volume on any backend. */
#ifndef NBDCRYPT_COMMAND_FORMAT_H
#define NBDCRYPT_COMMAND_FORMAT_H

#include "server/cli/command-line.h"

extern const struct command command_format;

#endif
