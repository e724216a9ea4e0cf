/* What calls that add exports on the control socket say of them. */
#ifndef NBDCRYPT_CONTROL_ADDED_H
#define NBDCRYPT_CONTROL_ADDED_H

#include "server/control/control-internal.h"
#include "server/serve/added-export.h"

/* Answers the call: this option of it is wrong, or its value. */
void control_refuse_option(struct control_client *client, const char *option, const char *reason);

/* What is in `options` and `allow` of the call, both of which may be NULL.  False: it was refused.
 */
bool control_set_options(struct control_client *client, struct added *added,
                         struct json_object *options, struct json_object *allow);

/* Takes the descriptor from the call whose number the parameter of that name is; -1: none was
 * named, -2: there is none of that number. */
int control_take_fd(struct control_client *client, const char *name);

#endif
