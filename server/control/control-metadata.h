/* The methods of the control socket that are about what applications record of a disk. */
#ifndef NBDCRYPT_CONTROL_METADATA_H
#define NBDCRYPT_CONTROL_METADATA_H

#include "server/control/control-internal.h"

extern const struct control_method control_metadata_methods[];

#endif
