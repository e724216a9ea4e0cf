/* The key of an export goes for a time: its clients wait, and nothing in memory decrypts its disk.
 * On the thread of the exports. */
#ifndef NBDCRYPT_EXPORTS_SUSPEND_H
#define NBDCRYPT_EXPORTS_SUSPEND_H

#include "server/export/export.h"
#include "server/serve/worker-round.h"

struct exports_suspend {
    struct export *export;
    struct worker_thread **workers;
    unsigned worker_count;
    const struct key_source *key; /* to resume; NULL: that of the settings */
    /* Waits until all have answered; -ESHUTDOWN: the server ends, and the round is taken. */
    int (*wait)(void *context, struct worker_round *round);
    void *context;
};

/* Waits for what is in flight.  0 if it was so already.  -EINVAL: it does not encrypt; -EBUSY: a
 * client stopped in the middle of a request; errors of reading the header, which must be one that
 * the key fits: else there would be no way back.  It is served on then. */
NODISCARD int exports_suspend(const struct exports_suspend *suspend, struct error *err);
/* Reads the key again, which must be the one of before: else, and when it can't be had, it stays
 * suspended.  0 if it was not. */
NODISCARD int exports_resume(const struct exports_suspend *suspend, struct error *err);

#endif
