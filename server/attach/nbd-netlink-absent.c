/* In the place of nbd-netlink.c where libnl is missing. */
#include "server/attach/nbd-netlink.h"

#include <errno.h>
#include <stddef.h>

static int absent(struct error *err)
{
    return error_set(err, -ENOSYS,
                     "this nbdcrypt can't speak with the kernel's NBD client: it was built without "
                     "libnl-genl-3; nbd-client attaches its exports, too");
}

int nbd_netlink_open(struct nbd_netlink **out, struct error *err)
{
    *out = NULL;
    return absent(err);
}

int nbd_netlink_watch(struct nbd_netlink **out, struct error *err)
{
    *out = NULL;
    return absent(err);
}

void nbd_netlink_close(struct nbd_netlink *netlink)
{
    (void)netlink;
}

int nbd_netlink_fd(const struct nbd_netlink *netlink)
{
    (void)netlink;
    return -1;
}

int nbd_netlink_attach(struct nbd_netlink *netlink, struct nbd_netlink_device *device,
                       struct error *err)
{
    (void)netlink;
    (void)device;
    return absent(err);
}

int nbd_netlink_revive(struct nbd_netlink *netlink, uint32_t index, const char *backend, int socket,
                       struct error *err)
{
    (void)netlink;
    (void)index;
    (void)backend;
    (void)socket;
    return absent(err);
}

void nbd_netlink_mark(int socket)
{
    (void)socket;
}

bool nbd_netlink_has_taken(int socket)
{
    (void)socket;
    return false;
}

int nbd_netlink_resize(struct nbd_netlink *netlink, uint32_t index, const char *backend,
                       uint64_t size_bytes, struct error *err)
{
    (void)netlink;
    (void)index;
    (void)backend;
    (void)size_bytes;
    return absent(err);
}

int nbd_netlink_detach(struct nbd_netlink *netlink, uint32_t index, struct error *err)
{
    (void)netlink;
    (void)index;
    return absent(err);
}

unsigned nbd_netlink_deaths(struct nbd_netlink *netlink, uint32_t index)
{
    (void)netlink;
    (void)index;
    return 0;
}
