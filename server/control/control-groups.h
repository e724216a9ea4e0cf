/* Groups of limits on the control socket, as they are seen. */
#ifndef NBDCRYPT_CONTROL_GROUPS_H
#define NBDCRYPT_CONTROL_GROUPS_H

#include "server/control/control-internal.h"
#include "server/export/limit-groups.h"

/* Limits as options, by name. */
struct json_object *control_view_terms(const struct limit_terms *terms);

void control_list_groups(struct control_client *client);

#endif
