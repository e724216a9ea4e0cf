/* Calls of the control socket that change the keys of an export's header: AddKey, ChangeKey,
 * RemoveKey.  See exports-keyslots.h. */
#ifndef NBDCRYPT_CONTROL_KEYS_H
#define NBDCRYPT_CONTROL_KEYS_H

#include "server/control/control-internal.h"
#include "server/serve/exports.h"

void control_keys_use(struct exports *exports);

/* Of struct control_method. */
void control_keys_add(struct control_client *client);
void control_keys_change(struct control_client *client);
void control_keys_remove(struct control_client *client);

#endif
