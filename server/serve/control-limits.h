/* The methods of the control socket that change how fast the clients of an export, or of a group of
 * them, may be. */
#ifndef NBDCRYPT_CONTROL_LIMITS_H
#define NBDCRYPT_CONTROL_LIMITS_H

#include "server/control/control-internal.h"

struct reload_config;

/* What they read; before any of them is called. */
void control_limits_use(struct reload_config *config);
void control_limits_set(struct control_client *client);
void control_limits_set_group(struct control_client *client);

#endif
