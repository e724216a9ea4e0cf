/* Who waits, and the server does nothing: it has forgotten somebody. */
#ifndef NBDCRYPT_SIM_IDLE_H
#define NBDCRYPT_SIM_IDLE_H

void idle_watch_begin(void);
void idle_watch_end(void);

#endif
