/* `nbdcrypt attach`: from the server to the device, and what is there when it is attached already.
 */
#ifndef NBDCRYPT_ATTACH_RUN_H
#define NBDCRYPT_ATTACH_RUN_H

#include <stdatomic.h>
#include <stdbool.h>

#include "server/attach/attach-options.h"
#include "server/attach/attach-record.h"
#include "server/attach/attach-target.h"
#include "server/attach/nbd-netlink.h"

struct attach_run {
    const struct attach_options *options;
    struct attach_target target;
    const char *source; /* as it was given */
    const atomic_bool *stop;

    struct nbd_netlink *commands, *watch;
    unsigned index;                    /* once it is attached */
    char attacher[NBD_ATTACHER_BYTES]; /* ... by this run: what tells it from the next one */
    struct attach_record record;
    int lock;          /* of its supervisor */
    bool found;        /* it was attached before */
    bool looked_after; /* ... and somebody looks after it */
    bool grown;        /* ... and it has another size now */
};

/* Attaches, or takes over what is attached under this name from this source and nobody looks after.
 * -errno with a sentence; attach_run_end() in every case. */
NODISCARD int attach_run(struct attach_run *run, struct error *err);
/* Takes back what attach_run() has done, before it is looked after. */
void attach_run_undo(struct attach_run *run);
/* While another process looks after it: until that has ended, and this one is to look after it,
 * which is true; false when it is detached, or *stop is set. */
NODISCARD bool attach_run_await(struct attach_run *run);
/* Looks after it, until it is detached or *stop is set. */
void attach_run_supervise(struct attach_run *run);
void attach_run_end(struct attach_run *run);

#endif
