/* A plugin runs in this process: if it calls exit() or crashes, the server is gone with it.  That
 * can't be prevented, but it must not look like a clean end, nor like a fault of the server. */
#ifndef NBDCRYPT_NBDKIT_GUARD_H
#define NBDCRYPT_NBDKIT_GUARD_H

/* From now on exit() in a call of a plugin ends the process with a message and status 1, and a
 * crash in one is preceded by a message.  Once is enough, more does no harm. */
void nbdkit_guard_start(void);

#endif
