/* nbdcrypt ctl: asks a running server, and tells it what to change; nbdcrypt-ctl(1). */
#ifndef NBDCRYPT_COMMAND_CTL_H
#define NBDCRYPT_COMMAND_CTL_H

#include "server/cli/command-line.h"

extern const struct command command_ctl;

#endif
