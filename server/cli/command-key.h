/* nbdcrypt key add | change | remove | priority | test | list: the keys that open a volume. */
#ifndef NBDCRYPT_COMMAND_KEY_H
#define NBDCRYPT_COMMAND_KEY_H

#include "server/cli/command-line.h"

extern const struct command command_key;

#endif
