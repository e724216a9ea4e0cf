/* Clients: each connects, sends a part of the commands that are left, checks every answer, goes and
 * comes again; until there are no commands left. */
#ifndef NBDCRYPT_SIM_CLIENT_H
#define NBDCRYPT_SIM_CLIENT_H

#include <stdint.h>

void clients_start(void);
/* Waits until all commands have been sent, and all clients have gone. */
void clients_end(void);
unsigned clients_running(void);
/* Reads all that commands could have changed, on a connection of its own; the server is up, without
 * faults. */
void client_verify(void);

#endif
