/* nbdcrypt map: where an image has data, and where holes and zeros. */
#ifndef NBDCRYPT_COMMAND_MAP_H
#define NBDCRYPT_COMMAND_MAP_H

#include "server/cli/command-line.h"

extern const struct command command_map;

#endif
