/* nbdcrypt key add | change | remove | test | list: the keys that open a volume. */
#ifndef NBDCRYPT_COMMAND_KEY_H
#define NBDCRYPT_COMMAND_KEY_H

#include "server/base/params.h"

/* argv[0] is "key", argv[1] the subcommand.  Returns the exit status: 0, 1 failure, 2 usage. */
int command_key(int argc, char **argv);

#endif
