#include "server/attach/system-log.h"

#include <syslog.h>

void system_log_open(void)
{
    openlog("nbdcrypt", LOG_PID, LOG_DAEMON);
}

void system_log_write(int priority, const char *text)
{
    syslog(priority, "%s", text);
}
