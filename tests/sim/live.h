/* What an administrator does to the front while it serves: files that are read again, by SIGHUP and
 * by `nbdcrypt ctl reload`, with other certificates, another description, mistakes; exports that
 * are removed and added again, replaced, suspended and resumed. */
#ifndef NBDCRYPT_SIM_LIVE_H
#define NBDCRYPT_SIM_LIVE_H

/* Begins to, now and then, until live_end(). */
void live_begin(void);
/* Waits for the change that is being made; the disk is served again then. */
void live_end(void);

#endif
