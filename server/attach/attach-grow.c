#include "server/attach/attach-grow.h"

#include <errno.h>
#include <unistd.h>

#include "server/attach/attach-dial.h"

static int ask(struct export_info *info, const struct supervisor *of, struct error *err)
{
    char uuid[CLIENT_UUID_BYTES];
    int fd;
    int result = attach_dial(&fd, info, of->target, of->stop, err);

    if (result < 0)
        return result;
    result = attach_dial_uuid(uuid, of->target, of->stop, err);
    if (result == 0)
        result = supervisor_compare(&of->record, info, uuid, err);
    close(fd);
    return result;
}

/* To other servers a connection may have the size that it began with. */
static int check(const struct supervisor *of, struct error *err)
{
    if (of->record.uuid[0] == '\0')
        return error_set(err, -EINVAL,
                         "/dev/nbd%u can't grow while it is attached: the server does not tell "
                         "which disk this is; detach it and attach it again",
                         of->index);
    if (of->record.dead > 0)
        return error_set(err, -EBUSY,
                         "/dev/nbd%u does not grow while connections to its server are lost: try "
                         "it again when nbdcrypt attached shows none as LOST",
                         of->index);
    return 0;
}

int attach_grow(struct supervisor *of, struct error *err)
{
    char backend[NBD_BACKEND_BYTES];
    struct export_info info;
    int result = ask(&info, of, err);

    if (result < 0 || info.size_bytes == of->record.size_bytes)
        return result;
    result = check(of, err);
    if (result < 0)
        return result;
    attach_record_backend(backend, &of->record);
    result = nbd_netlink_resize(of->commands, of->index, backend, info.size_bytes, err);
    if (result < 0) {
        error_prefix(err, "/dev/nbd%u: ", of->index);
        return result;
    }
    of->record.size_bytes = info.size_bytes;
    result = attach_record_write(&of->record, of->index, err);
    return result < 0 ? result : 1;
}
