/* nbdcrypt serve: exports, workers, listening sockets, and a clean end. */
#ifndef NBDCRYPT_COMMAND_SERVE_H
#define NBDCRYPT_COMMAND_SERVE_H

#include "server/cli/command-line.h"

/* The exit status with --run is that of its command. */
extern const struct command command_serve;

#endif
