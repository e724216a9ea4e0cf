/* Slices of L2 tables that one worker has read lately: a fixed number of them. */
#ifndef NBDCRYPT_QCOW2_SLICES_H
#define NBDCRYPT_QCOW2_SLICES_H

#include "server/block/layer.h"

struct qcow2_slices;

/* Who waits for something to be there; `fn` comes at once or later, on the layer's thread. */
struct qcow2_waiter {
    void (*fn)(struct qcow2_waiter *waiter, int error); /* 0 or a positive errno */
    struct qcow2_waiter *next;
};

/* Calls all of a list, which is taken from `list`; each may wait again. */
void qcow2_waiters_wake(struct qcow2_waiter **list, int error);

/* `file` must stay; a slice has at most 4096 bytes. */
NODISCARD int qcow2_slices_create(struct qcow2_slices **out, struct layer *file,
                                  uint32_t slice_bytes, struct error *err);
/* Nobody waits. */
void qcow2_slices_destroy(struct qcow2_slices *slices);

/* NULL: it has to be loaded.  Stays until the next load. */
const uint8_t *qcow2_slices_find(struct qcow2_slices *slices, uint64_t host_bytes);
/* When it has been loaded, or could not be; it may have gone again: look for it. */
void qcow2_slices_load(struct qcow2_slices *slices, uint64_t host_bytes,
                       struct qcow2_waiter *waiter);

#endif
