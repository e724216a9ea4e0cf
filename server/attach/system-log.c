#include "server/attach/system-log.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#define LINE_BYTES 1200u

static int log_fd = -1;

void system_log_open(void)
{
    log_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

void system_log_write(int priority, const char *text)
{
    const struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "/dev/log" };
    char line[LINE_BYTES];
    int length = snprintf(line, sizeof line, "<%d>nbdcrypt[%d]: %.1100s", LOG_DAEMON | priority,
                          (int)getpid(), text);

    if (length > 0)
        (void)sendto(log_fd, line, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL,
                     (const struct sockaddr *)&address, sizeof address);
}
