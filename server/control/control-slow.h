/* The method of the control socket that tells of requests that took too long. */
#ifndef NBDCRYPT_CONTROL_SLOW_H
#define NBDCRYPT_CONTROL_SLOW_H

#include "server/control/control-internal.h"

void control_list_slow(struct control_client *client);

#endif
