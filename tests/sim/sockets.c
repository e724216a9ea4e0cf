/* The calls by which the product connects to another server, which is the store: on a thread of its
 * own, that waits (server/client/). */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/sim/files.h"
#include "tests/sim/liar.h"
#include "tests/sim/network.h"
#include "tests/sim/options.h"
#include "tests/sim/random.h"
#include "tests/sim/schedule.h"
#include "tests/sim/server.h"
#include "tests/sim/trace.h"
#include "tests/sim/wrap.h"

#define STORE_CLIENT 1000u

int __wrap_socket(int family, int type, int protocol)
{
    (void)family;
    (void)type;
    (void)protocol;
    return file_of_endpoint(NULL, fiber_host());
}

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t address_bytes)
{
    struct endpoint *endpoint;

    (void)address;
    (void)address_bytes;
    fiber_sleep(random_skewed(STREAM_NETWORK, NS_PER_US, network.delay_max_ns));
    endpoint =
        options.lies > 0 ? liar_connect(STORE_CLIENT) : server_connect(SITE_STORE, STORE_CLIENT);
    if (endpoint == NULL) {
        errno = ECONNREFUSED;
        return -1;
    }
    file_connects(fd, endpoint);
    return 0;
}

static int failed(int64_t result)
{
    if (result < 0) {
        errno = (int)-result;
        return -1;
    }
    return (int)result;
}

ssize_t __wrap_send(int fd, const void *data, size_t length_bytes, int flags)
{
    (void)flags;
    return failed(endpoint_send(file_endpoint(fd), data, length_bytes));
}

ssize_t __wrap_recv(int fd, void *out, size_t length_bytes, int flags)
{
    (void)flags;
    return failed(endpoint_receive(file_endpoint(fd), out, length_bytes));
}

/* Of one socket, or of none: a pause. */
int __wrap_poll(struct pollfd *files, nfds_t count, int timeout_ms)
{
    uint64_t end_ns = sim_now_ns + (uint64_t)timeout_ms * NS_PER_MS;
    const struct endpoint *endpoint = files[0].fd >= 0 ? file_endpoint(files[0].fd) : NULL;

    if (count != 1 || timeout_ms < 0)
        sim_fail("poll() of %u descriptors for ever is not modelled", (unsigned)count);
    if (endpoint == NULL) {
        fiber_sleep((uint64_t)timeout_ms * NS_PER_MS);
        return 0;
    }
    for (;;) {
        if ((files[0].events & POLLIN) && endpoint_is_readable(endpoint))
            files[0].revents = POLLIN;
        else if ((files[0].events & POLLOUT) && endpoint_is_writable(endpoint))
            files[0].revents = POLLOUT;
        else if (sim_now_ns >= end_ns)
            return 0;
        else {
            (void)fiber_wait_until(endpoint, end_ns);
            continue;
        }
        return 1;
    }
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct endpoint *endpoint = file_endpoint(fd);
    ssize_t total = 0;

    (void)flags;
    for (size_t i = 0; i < (size_t)message->msg_iovlen; i++) {
        const struct iovec *iov = &message->msg_iov[i];
        int64_t count = iov->iov_len > 0 ? endpoint_send(endpoint, iov->iov_base, iov->iov_len) : 0;

        if (count < 0)
            return total > 0 ? total : failed(count);
        total += count;
        if ((size_t)count < iov->iov_len)
            break;
    }
    return total;
}

int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t value_bytes)
{
    (void)fd;
    (void)level;
    (void)name;
    (void)value;
    (void)value_bytes;
    return 0;
}
