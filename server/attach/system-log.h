/* The system's log, as syslog(3) writes to it, whose names of levels are not those of
 * server/base/log.h.  It is never waited for: whoever reads it may wait for the disk that the
 * caller is to bring back.  What finds no place there is lost. */
#ifndef NBDCRYPT_SYSTEM_LOG_H
#define NBDCRYPT_SYSTEM_LOG_H

void system_log_open(void);
/* `priority`: a number of syslog(3), such as log_priority() gives. */
void system_log_write(int priority, const char *text);

#endif
