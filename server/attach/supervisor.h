/* Looks after a device that is attached: where a connection dies, it dials another one, and gives
 * it to the kernel in the place of the dead one. */
#ifndef NBDCRYPT_SUPERVISOR_H
#define NBDCRYPT_SUPERVISOR_H

#include <stdatomic.h>
#include <stdbool.h>

#include "server/attach/attach-record.h"
#include "server/attach/attach-target.h"
#include "server/attach/nbd-netlink.h"

struct supervisor {
    unsigned index;
    struct attach_record record; /* what it was attached as */
    const struct attach_target *target;
    struct nbd_netlink *commands, *watch; /* the caller's */
    const atomic_bool *stop;
};

/* Whether a connection with this export may take the place of one that the device was attached
 * with: another disk, a smaller one, or one that can't do what it could would lose data.  -ESTALE
 * with a sentence. */
NODISCARD int supervisor_compare(const struct attach_record *record, const struct export_info *info,
                                 const char *uuid, struct error *err);

/* Until the device is detached (true) or *stop is set.  `unknown`: which connections live is not
 * known, as somebody else has looked after it before. */
bool supervisor_run(struct supervisor *supervisor, bool unknown);

#endif
