/* The end that comes in any case.
 *
 * A server that is told to end answers what is in flight, but a backend may never do so: a disk on
 * a network whose other end is gone.  Nothing can take back from it the memory that it may still
 * write to, so the process is what ends. */
#ifndef NBDCRYPT_SHUTDOWN_TIMEOUT_H
#define NBDCRYPT_SHUTDOWN_TIMEOUT_H

/* Once: ends the process with status 1 and a message when it is still there after `seconds`; 0:
 * never. */
void shutdown_timeout_start(unsigned seconds);

#endif
