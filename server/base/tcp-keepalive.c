#include "server/base/tcp-keepalive.h"

#include <stddef.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#define IDLE_S 10
#define INTERVAL_S 5
#define COUNT 4

void tcp_keepalive(int fd, unsigned unacknowledged_ms)
{
    const struct {
        int level, name, value;
    } settings[] = {
        { SOL_SOCKET, SO_KEEPALIVE, 1 },
        { IPPROTO_TCP, TCP_KEEPIDLE, IDLE_S },
        { IPPROTO_TCP, TCP_KEEPINTVL, INTERVAL_S },
        { IPPROTO_TCP, TCP_KEEPCNT, COUNT },
        { IPPROTO_TCP, TCP_USER_TIMEOUT, (int)unacknowledged_ms },
    };

    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        (void)setsockopt(fd, settings[i].level, settings[i].name, &settings[i].value,
                         sizeof settings[i].value);
}
