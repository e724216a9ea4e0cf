/* Commands that change headers (nbdcrypt key ..., header ..., erase), each a process of its own
 * that may be killed, and what is known of the keys: those that were told to be there open the
 * volume whatever happened since, and one that was told to be gone never does again.  A command
 * that was cut off has changed all or nothing. */
#ifndef NBDCRYPT_SIM_JOBS_H
#define NBDCRYPT_SIM_JOBS_H

#include <stdbool.h>

#define JOBS_FIRST_KEY "key" /* commands on keys never remove it */

/* A key that opens the volume for sure; a drawn one. */
const char *jobs_key(void);
/* Begins to change keys beside the servers now and then, until jobs_end(). */
void jobs_begin(void);
/* One may have the header locked. */
bool jobs_go_on(void);
/* Waits for the command that is at work. */
void jobs_end(void);
/* The one that is at work dies, as with the power; how far it came is not known. */
void jobs_kill(void);
/* While no server is there: now and then several commands, most of them cut off, by a kill or by
 * `power_cut`, at one of their writes; the last one mends what they left. */
void jobs_without_server(void (*power_cut)(void));
/* A command has said that it could not undo what it has changed: the keys before and after are to
 * be kept, for the storage may have either, and what is read of it now says nothing of what a power
 * cut leaves.  Or a restore, that no key opens the volume when it is interrupted. */
enum risk { RISK_NONE, RISK_CHANGED, RISK_ALL };
void jobs_are_at_risk(enum risk risk);
/* Each key does what is known of it; nothing fails any more. */
void jobs_verify(void);

#endif
