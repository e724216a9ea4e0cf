/* The kernel's NBD client, by generic netlink.  Source: Linux, include/uapi/linux/nbd-netlink.h and
 * drivers/block/nbd.c.  Takes CAP_SYS_ADMIN.  All return -errno with a sentence. */
#ifndef NBDCRYPT_NBD_NETLINK_H
#define NBDCRYPT_NBD_NETLINK_H

#include <stdbool.h>
#include <stdint.h>

#include "server/base/error.h"

#define NBD_NETLINK_ANY_INDEX UINT32_MAX
#define NBD_NETLINK_SOCKETS_MAX 64u

struct nbd_netlink;

/* -ENOSYS: this program was built without it; -ENOENT: the kernel has no NBD client. */
NODISCARD int nbd_netlink_open(struct nbd_netlink **out, struct error *err);
/* The same for links that die: nbd_netlink_deaths().  Its descriptor can be polled. */
NODISCARD int nbd_netlink_watch(struct nbd_netlink **out, struct error *err);
void nbd_netlink_close(struct nbd_netlink *netlink); /* NULL is fine */
int nbd_netlink_fd(const struct nbd_netlink *netlink);

struct nbd_netlink_device {
    uint32_t index; /* or NBD_NETLINK_ANY_INDEX */
    uint64_t size_bytes;
    uint32_t block_bytes;
    uint16_t flags;                       /* NBD_FLAG_* of the server */
    unsigned timeout_seconds;             /* of a request; 0: never given up */
    unsigned dead_timeout_seconds;        /* without any connection */
    const char *backend;                  /* every socket to come has to name it */
    int sockets[NBD_NETLINK_SOCKETS_MAX]; /* the kernel takes references of its own */
    unsigned socket_count;
};

/* Makes a device of it; device->index is told.  -EBUSY: that one is in use. */
NODISCARD int nbd_netlink_attach(struct nbd_netlink *netlink, struct nbd_netlink_device *device,
                                 struct error *err);
/* A new socket in the place of one that is dead.  When none is, the kernel throws it away and says
 * nothing: nbd_netlink_has_taken(). */
NODISCARD int nbd_netlink_revive(struct nbd_netlink *netlink, uint32_t index, const char *backend,
                                 int socket, struct error *err);
/* False: it did not take this socket.  Can be told only of devices with a timeout; `before` it was
 * handed over nbd_netlink_mark() has marked it. */
bool nbd_netlink_has_taken(int socket);
void nbd_netlink_mark(int socket);
/* The device has this size from now on.  Newer kernels wait for what is in flight. */
NODISCARD int nbd_netlink_resize(struct nbd_netlink *netlink, uint32_t index, const char *backend,
                                 uint64_t size_bytes, struct error *err);
/* Ends it; what is in flight fails. */
NODISCARD int nbd_netlink_detach(struct nbd_netlink *netlink, uint32_t index, struct error *err);

/* Of a watch: how many links of this device have died since the last call; UINT32_MAX: some, and
 * how many was lost. */
unsigned nbd_netlink_deaths(struct nbd_netlink *netlink, uint32_t index);

#endif
