#include "server/base/log-journal.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define HEAD_BYTES 128u

int log_journal_open(void)
{
    return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static struct iovec part(const void *text, size_t bytes)
{
    return (struct iovec){ .iov_base = (void *)(uintptr_t)text, .iov_len = bytes };
}

/* To its name each time: the journal may be another one by now. */
bool log_journal_send(int fd, enum log_level level, const char *fields, const char *line,
                      size_t line_bytes)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX, .sun_path = "/run/systemd/journal/socket" };
    char head[HEAD_BYTES];
    int head_bytes = snprintf(head, sizeof head, "PRIORITY=%d\nSYSLOG_IDENTIFIER=%.*s\n",
                              log_priority(level), (int)LOG_PROGRAM_BYTES_MAX, log_program());
    struct iovec parts[] = { part(head, (size_t)head_bytes), part(fields, strlen(fields)),
                             part("MESSAGE=", 8), part(line, line_bytes) };
    struct msghdr message = { .msg_name = &name,
                              .msg_namelen = sizeof name,
                              .msg_iov = parts,
                              .msg_iovlen = sizeof parts / sizeof parts[0] };
    ssize_t sent;

    if (fd < 0)
        return false;
    do
        sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent >= 0;
}
