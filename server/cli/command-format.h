/* nbdcrypt format: makes a LUKS volume on any backend. */
#ifndef NBDCRYPT_COMMAND_FORMAT_H
#define NBDCRYPT_COMMAND_FORMAT_H

#include "server/base/params.h"

/* The options of `format`, for --help and for the check that the man page names them all. */
extern const struct param command_format_params[];

/* argv[0] is "format".  The exit status: 0, 1 failure, 2 usage. */
int command_format(int argc, char **argv);

#endif
