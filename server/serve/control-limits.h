/* The method of the control socket that changes how fast the clients of an export may be. */
#ifndef NBDCRYPT_CONTROL_LIMITS_H
#define NBDCRYPT_CONTROL_LIMITS_H

#include "server/control/control-internal.h"

void control_limits_set(struct control_client *client);

#endif
