/* nbdcrypt convert: copies the disk in one image into another one, encrypted or not. */
#ifndef NBDCRYPT_COMMAND_CONVERT_H
#define NBDCRYPT_COMMAND_CONVERT_H

#include "server/cli/command-line.h"

extern const struct command command_convert;

#endif
