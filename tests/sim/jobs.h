/* Commands that change keys beside the server (nbdcrypt key ...), each a process of its own that
 * may be killed, and what is known of the keys: those that were told to be there open the volume
 * whatever happened since, and one that was told to be gone never does again. */
#ifndef NBDCRYPT_SIM_JOBS_H
#define NBDCRYPT_SIM_JOBS_H

#include <stdbool.h>

/* A key that opens the volume for sure; a drawn one. */
const char *jobs_key(void);
/* Begins to change keys now and then, until jobs_end(). */
void jobs_begin(void);
/* One may have the header locked. */
bool jobs_go_on(void);
/* Waits for the command that is at work. */
void jobs_end(void);
/* The one that is at work dies, as with the power; how far it came is not known. */
void jobs_kill(void);
/* Each key does what is known of it; nothing fails any more. */
void jobs_verify(void);

#endif
