/* Commands that change headers (nbdcrypt key ..., header ..., erase): which, and when. */
#ifndef NBDCRYPT_SIM_JOBS_H
#define NBDCRYPT_SIM_JOBS_H

#include <stdbool.h>

/* Begins to change keys beside the servers now and then, until jobs_end(). */
void jobs_begin(void);
/* One may have the header locked. */
bool jobs_go_on(void);
/* Waits for the command that is at work. */
void jobs_end(void);
/* While no server is there: now and then several commands, most of them cut off, by a kill or by
 * `power_cut`, at one of their writes; the last one mends what they left. */
void jobs_without_server(void (*power_cut)(void));
/* Before a server is started with one of the keys: the power may have taken what a killed command
 * had left, and what was read of it. */
void jobs_settle(void);
/* Each key does what is known of it; nothing fails any more. */
void jobs_verify(void);

#endif
