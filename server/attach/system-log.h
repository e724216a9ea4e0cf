/* syslog(3), whose names of levels are not those of server/base/log.h. */
#ifndef NBDCRYPT_SYSTEM_LOG_H
#define NBDCRYPT_SYSTEM_LOG_H

void system_log_open(void);
/* `priority`: a number of syslog(3), such as log_priority() gives. */
void system_log_write(int priority, const char *text);

#endif
