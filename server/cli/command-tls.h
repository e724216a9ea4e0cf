/* nbdcrypt tls: makes and shows certificates and keys for TLS. */
#ifndef NBDCRYPT_COMMAND_TLS_H
#define NBDCRYPT_COMMAND_TLS_H

#include "server/cli/command-line.h"

extern const struct command command_tls;

#endif
