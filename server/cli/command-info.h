/* nbdcrypt info: what a LUKS header says, without a key. */
#ifndef NBDCRYPT_COMMAND_INFO_H
#define NBDCRYPT_COMMAND_INFO_H

#include "server/base/params.h"

/* The options of `info`, for --help and for the check that the man page names them all. */
extern const struct param command_info_params[];

/* argv[0] is "info".  The exit status: 0, 1 failure, 2 usage. */
int command_info(int argc, char **argv);

#endif
