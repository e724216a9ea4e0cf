/* Tells the service manager how we are: the datagram of sd_notify(3). */
#ifndef NBDCRYPT_NOTIFY_H
#define NBDCRYPT_NOTIFY_H

/* "READY=1", "STOPPING=1"; does nothing when $NOTIFY_SOCKET is not set. */
void notify_service_manager(const char *state);

#endif
