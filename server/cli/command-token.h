/* nbdcrypt token list | import | export | remove: what a LUKS2 header says about opening its
 * keyslots. */
#ifndef NBDCRYPT_COMMAND_TOKEN_H
#define NBDCRYPT_COMMAND_TOKEN_H

#include "server/cli/command-line.h"

extern const struct command command_token;

#endif
