/* nbdcrypt header backup | restore | discard | zero-holes, nbdcrypt erase: the header of a volume
 * as a whole. */
#ifndef NBDCRYPT_COMMAND_HEADER_H
#define NBDCRYPT_COMMAND_HEADER_H

#include "server/cli/command-line.h"

extern const struct command command_header;
extern const struct command command_erase;

#endif
