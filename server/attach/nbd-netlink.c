#include "server/attach/nbd-netlink.h"

#include <errno.h>
#include <linux/nbd-netlink.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

/* No header of an older system has it: Linux 5.14. */
#define ATTRIBUTE_BACKEND 10
#define MARK_SECONDS 3601 /* a time limit of sending that no device has */

struct nbd_netlink {
    struct nl_sock *socket;
    int family;
    uint32_t index; /* of the answer, or whose deaths are counted */
    unsigned deaths;
    bool acknowledged; /* the command that was sent last */
};

/* ---- connection ---- */

static int on_message(struct nl_msg *message, void *context)
{
    struct nbd_netlink *netlink = context;
    struct nlattr *attributes[NBD_ATTR_MAX + 1];
    const struct genlmsghdr *header = nlmsg_data(nlmsg_hdr(message));

    if (genlmsg_parse(nlmsg_hdr(message), 0, attributes, NBD_ATTR_MAX, NULL) < 0 ||
        attributes[NBD_ATTR_INDEX] == NULL)
        return NL_OK;
    uint32_t index = nla_get_u32(attributes[NBD_ATTR_INDEX]);
    if (header->cmd == NBD_CMD_CONNECT)
        netlink->index = index;
    if (header->cmd == NBD_CMD_LINK_DEAD && index == netlink->index)
        netlink->deaths++;
    return NL_OK;
}

static int on_acknowledgement(struct nl_msg *message, void *context)
{
    struct nbd_netlink *netlink = context;

    (void)message;
    netlink->acknowledged = true;
    return NL_STOP;
}

static int no_nbd(struct error *err)
{
    return error_set(err, -ENOENT,
                     "the kernel's NBD client is not there: load its module with `modprobe nbd`");
}

static int begin(struct nbd_netlink **out, struct error *err)
{
    struct nbd_netlink *netlink = calloc(1, sizeof *netlink);

    if (netlink != NULL)
        netlink->socket = nl_socket_alloc();
    if (netlink == NULL || netlink->socket == NULL) {
        free(netlink);
        return error_no_memory(err, "for netlink");
    }
    int result = genl_connect(netlink->socket);
    if (result == 0)
        netlink->family = genl_ctrl_resolve(netlink->socket, NBD_GENL_FAMILY_NAME);
    if (result < 0)
        error_set(err, -EIO, "netlink can't be used: %s", nl_geterror(result));
    else if (netlink->family < 0)
        result = no_nbd(err);
    if (result == 0)
        result =
            nl_socket_modify_cb(netlink->socket, NL_CB_VALID, NL_CB_CUSTOM, on_message, netlink);
    if (result == 0)
        result = nl_socket_modify_cb(netlink->socket, NL_CB_ACK, NL_CB_CUSTOM, on_acknowledgement,
                                     netlink);
    if (result < 0) {
        nbd_netlink_close(netlink);
        return result == -ENOENT ? result : -EIO;
    }
    *out = netlink;
    return 0;
}

int nbd_netlink_open(struct nbd_netlink **out, struct error *err)
{
    return begin(out, err);
}

int nbd_netlink_watch(struct nbd_netlink **out, struct error *err)
{
    int result = begin(out, err);

    if (result < 0)
        return result;
    struct nl_sock *socket = (*out)->socket;
    int group = genl_ctrl_resolve_grp(socket, NBD_GENL_FAMILY_NAME, NBD_GENL_MCAST_GROUP_NAME);
    nl_socket_disable_seq_check(socket);
    result = group < 0 ? group : nl_socket_add_membership(socket, group);
    if (result == 0)
        result = nl_socket_set_nonblocking(socket);
    if (result == 0)
        return 0;
    nbd_netlink_close(*out);
    return error_set(err, -EIO, "the kernel does not tell of lost connections: %s",
                     nl_geterror(result));
}

void nbd_netlink_close(struct nbd_netlink *netlink)
{
    if (netlink == NULL)
        return;
    nl_socket_free(netlink->socket);
    free(netlink);
}

int nbd_netlink_fd(const struct nbd_netlink *netlink)
{
    return nl_socket_get_fd(netlink->socket);
}

/* ---- commands ---- */

static struct nl_msg *new_message(const struct nbd_netlink *netlink, uint8_t command)
{
    struct nl_msg *message = nlmsg_alloc_size(16384);

    if (message != NULL && genlmsg_put(message, NL_AUTO_PORT, NL_AUTO_SEQ, netlink->family, 0, 0,
                                       command, NBD_GENL_VERSION) == NULL) {
        nlmsg_free(message);
        return NULL;
    }
    return message;
}

static int put_sockets(struct nl_msg *message, const int *sockets, unsigned count)
{
    struct nlattr *list = nla_nest_start(message, NBD_ATTR_SOCKETS);
    int result = list == NULL ? -NLE_NOMEM : 0;

    for (unsigned i = 0; i < count && result == 0; i++) {
        struct nlattr *item = nla_nest_start(message, NBD_SOCK_ITEM);

        result =
            item == NULL ? -NLE_NOMEM : nla_put_u32(message, NBD_SOCK_FD, (uint32_t)sockets[i]);
        if (result == 0)
            nla_nest_end(message, item);
    }
    if (result == 0)
        nla_nest_end(message, list);
    return result;
}

/* What libnl makes of an errno is all that there is. */
static int explain(int code, struct error *err)
{
    switch (-code) {
    case NLE_PERM:
    case NLE_NOACCESS:
        return error_set(err, -EPERM, "only root (CAP_SYS_ADMIN) may do that");
    case NLE_BUSY:
        return error_set(err, -EBUSY, "it is in use already");
    case NLE_NOMEM:
        return error_no_memory(err, "in the kernel");
    case NLE_OBJ_NOTFOUND:
        return no_nbd(err);
    default:
        return error_set(err, -EINVAL, "the kernel refused it: %s (dmesg tells more)",
                         nl_geterror(code));
    }
}

/* Until the kernel has acknowledged it.  A command that is answered as well has the answer first,
 * and nl_wait_for_ack() would be content with that: each command later would have the
 * acknowledgement of the one before. */
static int send_and_wait(struct nbd_netlink *netlink, struct nl_msg *message)
{
    netlink->acknowledged = false;
    int result = nl_send_auto(netlink->socket, message);
    while (result >= 0 && !netlink->acknowledged)
        result = nl_recvmsgs_default(netlink->socket);
    return result < 0 ? result : 0;
}

/* Consumes the message.  `result`: what filling it has come to. */
static int call(struct nbd_netlink *netlink, struct nl_msg *message, int result, struct error *err)
{
    if (message == NULL || result < 0) {
        nlmsg_free(message);
        return error_no_memory(err, "for netlink");
    }
    result = send_and_wait(netlink, message);
    nlmsg_free(message);
    return result < 0 ? explain(result, err) : 0;
}

static int fill(struct nl_msg *message, const struct nbd_netlink_device *device)
{
    const struct {
        int attribute;
        uint64_t value;
    } numbers[] = {
        { NBD_ATTR_SIZE_BYTES, device->size_bytes },
        { NBD_ATTR_BLOCK_SIZE_BYTES, device->block_bytes },
        { NBD_ATTR_SERVER_FLAGS, device->flags },
        { NBD_ATTR_TIMEOUT, device->timeout_seconds },
        { NBD_ATTR_DEAD_CONN_TIMEOUT, device->dead_timeout_seconds },
    };
    int result = 0;

    if (device->index != NBD_NETLINK_ANY_INDEX)
        result = nla_put_u32(message, NBD_ATTR_INDEX, device->index);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0] && result == 0; i++)
        result = nla_put_u64(message, numbers[i].attribute, numbers[i].value);
    if (result == 0)
        result = nla_put_string(message, ATTRIBUTE_BACKEND, device->backend);
    return result < 0 ? result : put_sockets(message, device->sockets, device->socket_count);
}

int nbd_netlink_attach(struct nbd_netlink *netlink, struct nbd_netlink_device *device,
                       struct error *err)
{
    struct nl_msg *message = new_message(netlink, NBD_CMD_CONNECT);

    netlink->index = device->index;
    int result = call(netlink, message, message != NULL ? fill(message, device) : 0, err);
    if (result == 0 && netlink->index == NBD_NETLINK_ANY_INDEX)
        return error_set(err, -EPROTO, "the kernel did not say which device it is");
    device->index = netlink->index;
    return result;
}

int nbd_netlink_revive(struct nbd_netlink *netlink, uint32_t index, const char *backend, int socket,
                       struct error *err)
{
    struct nl_msg *message = new_message(netlink, NBD_CMD_RECONFIGURE);
    int result = message != NULL ? nla_put_u32(message, NBD_ATTR_INDEX, index) : 0;

    if (message != NULL && result == 0)
        result = nla_put_string(message, ATTRIBUTE_BACKEND, backend);
    if (message != NULL && result == 0)
        result = put_sockets(message, &socket, 1);
    return call(netlink, message, result, err);
}

int nbd_netlink_resize(struct nbd_netlink *netlink, uint32_t index, const char *backend,
                       uint64_t size_bytes, struct error *err)
{
    struct nl_msg *message = new_message(netlink, NBD_CMD_RECONFIGURE);
    int result = message != NULL ? nla_put_u32(message, NBD_ATTR_INDEX, index) : 0;

    if (message != NULL && result == 0)
        result = nla_put_string(message, ATTRIBUTE_BACKEND, backend);
    if (message != NULL && result == 0)
        result = nla_put_u64(message, NBD_ATTR_SIZE_BYTES, size_bytes);
    return call(netlink, message, result, err);
}

int nbd_netlink_detach(struct nbd_netlink *netlink, uint32_t index, struct error *err)
{
    struct nl_msg *message = new_message(netlink, NBD_CMD_DISCONNECT);
    int result = message != NULL ? nla_put_u32(message, NBD_ATTR_INDEX, index) : 0;

    return call(netlink, message, result, err);
}

/* ---- what became of a socket ---- */

/* The kernel gives a socket that it takes the time limit of the device's requests. */
void nbd_netlink_mark(int socket)
{
    const struct timeval limit = { .tv_sec = MARK_SECONDS };

    (void)setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

bool nbd_netlink_has_taken(int socket)
{
    struct timeval limit = { 0 };
    socklen_t limit_bytes = sizeof limit;

    return getsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, &limit_bytes) < 0 ||
           limit.tv_sec != MARK_SECONDS;
}

unsigned nbd_netlink_deaths(struct nbd_netlink *netlink, uint32_t index)
{
    int result;

    netlink->index = index;
    netlink->deaths = 0;
    while ((result = nl_recvmsgs_default(netlink->socket)) == 0)
        continue;
    return result == -NLE_AGAIN ? netlink->deaths : UINT32_MAX;
}
