/* The method of the control socket that sends clients away. */
#ifndef NBDCRYPT_CONTROL_CLIENTS_H
#define NBDCRYPT_CONTROL_CLIENTS_H

#include "server/control/control-internal.h"
#include "server/serve/worker-thread.h"

/* Before the first call: who has the clients. */
void control_clients_use(struct worker_thread *const *workers, unsigned worker_count);
/* Disconnect. */
void control_clients_disconnect(struct control_client *client);

#endif
