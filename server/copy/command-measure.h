/* nbdcrypt measure: how large a target has to be. */
#ifndef NBDCRYPT_COMMAND_MEASURE_H
#define NBDCRYPT_COMMAND_MEASURE_H

#include "server/cli/command-line.h"

extern const struct command command_measure;

#endif
